"""Putting a run together: a source, the stages of a configuration, and the outputs that were asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perception.config import DEFAULT, Config, load_config
from perception.errors import RequestError
from perception.registry import construct
from perception.runner import WAITING_DRAWN, Run
from perception.sinks import Sink
from perception.sources import LiveOptions, Source, open_source
from perception.types import FrameResult, Planes

__all__ = ["open", "open_run"]


def open(
    source: str | Path | Sequence[str | Path],
    *,
    config: str | Path | Config = DEFAULT,
    output: str | Path | None = None,
    jsonl: str | Path | None = None,
    engine: str | Path | None = None,
    family: str | None = None,
    backend: str | None = None,
    precision: str | None = None,
    min_score: float | None = None,
    track: bool = True,
    fps: float | None = None,
    live: LiveOptions | None = None,
    decode: str = "auto",
    max_age_s: float | None = None,
    looks: int | None = None,
    segment_s: float | None = None,
    page: int | str | None = None,
    show: bool = False,
) -> Run:
    """Open a source and run a pipeline over it; iterate the run for results.

    Args:
        source: a video file, a picture, a folder or glob of pictures, a list of pictures, a camera (0,
            /dev/video0, csi://0), the address of a stream, or "-" for standard input.
        config: name of an installed configuration, path of a TOML file, or a `Config`.
        output: overlay video to write (.mp4, .mkv, .mov), or a folder when the source is pictures.
        jsonl: record to write, one JSON object a line; "-" is standard output.
        engine: another engine for the first detector: an installed name or the path of an ONNX file.
        family: of an ONNX file that does not say itself ("yolox").
        backend: "auto", "tensorrt", "openvino" or "onnxruntime".
        precision: of every detector: "auto", "fp32", "bf16" or "int8" (perception.backends.choice).
        min_score: score limit of every detector.
        track: False leaves out the trackers.
        fps: makes a folder of pictures a sequence at this rate.
        live: of cameras and streams: reconnecting, camera mode; its `live` plays a file as a camera would.
        decode: where video files are decoded: "cpu", "nvdec" (an NVIDIA GPU) or "auto".
        max_age_s: frames of a live source that are older when their turn comes are skipped.
        looks: frames of a recording that the networks look at at once; None: one for each core, at most 4.
        segment_s: write the overlay as one file after the other, each so many seconds long.
        page: port, or "host:port", of a web page with the live overlay; without a host for this machine only.
        show: show the overlay in a window.

    Raises:
        InputError: the source cannot be read, or an output not be written.
        ConfigError: the configuration is wrong.
        EngineError: an engine cannot be opened.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    opened = open_source(source, fps=fps, options=live, decode=decode)
    try:
        is_video = opened.info.kind == "video"
        follow = is_video or fps is not None
        config = config.changed(
            backend=backend,
            precision=precision,
            min_score=min_score,
            engine=None if engine is None else str(engine),
            family=family,
            track=track and follow,
            alone=not follow,
        )
        return open_run(
            opened,
            config,
            output=output,
            jsonl=jsonl,
            max_age_s=max_age_s,
            looks=looks,
            segment_s=segment_s,
            page=page,
            show=show,
        )
    except BaseException:
        opened.close()
        raise


def open_run(
    source: Source,
    config: Config,
    *,
    output: str | Path | None = None,
    jsonl: str | Path | None = None,
    max_age_s: float | None = None,
    looks: int | None = None,
    segment_s: float | None = None,
    page: int | str | None = None,
    show: bool = False,
) -> Run:
    """A run over an open source, with the outputs named by path."""
    inputs = () if source.info.path is None else (source.info.path,)
    sinks: list[Sink] = []
    watched: list[Any] = []
    if output is not None or segment_s is not None or page is not None or show:
        draw = _drawing(config)
        if output is not None or segment_s is not None:
            sinks.append(_overlay_sink(source, config, draw, output, inputs, segment_s))
        if page is not None or show:
            watched = _live_sinks(source, draw, page, show)
            sinks += watched
            # One being written, those that wait, one being drawn.
            draw.keep = WAITING_DRAWN + 2 if len(sinks) > 1 else 1
    pipeline = config.pipeline()
    try:
        if jsonl is not None:
            from perception.sinks.jsonl import JsonLinesSink

            engines = {
                stage.name: _engine_note(stage)
                for stage in pipeline.stages
                if hasattr(stage, "engine")
            }
            sinks.append(JsonLinesSink(jsonl, engines=engines, inputs=inputs))
        run = Run(source, pipeline, sinks, max_age_s=max_age_s, looks=looks)
        for sink in watched:
            sink.watch(run.counts, run.stop)
        return run
    except BaseException:
        pipeline.close()
        raise


class _DrawnOnce:
    """Draws a result once, for however many outputs show it one after the other; from any thread.

    Attributes:
        keep: newest pictures that are kept. An output that draws ahead of the others may be so far before them.
    """

    def __init__(self, overlay: Any) -> None:
        self.bgr = overlay.bgr
        self.keep = 1
        self._overlay = overlay
        self._lock = threading.Lock()
        self._drawn: list[tuple[FrameResult, Planes]] = []

    def __call__(self, result: FrameResult) -> Planes:
        with self._lock:
            for drawn, picture in self._drawn:
                if drawn is result:
                    return picture
            planes: Planes = self._overlay(result)
            self._drawn = [*self._drawn, (result, planes)][-self.keep :]
            return planes


def _drawing(config: Config) -> _DrawnOnce:
    # Imported here: a run without an overlay does not pay for the encoder's and the drawing's imports.
    from perception.render import Overlay

    return _DrawnOnce(construct(Overlay, config.overlay, where=f"{config.where}: [overlay]"))


def _overlay_sink(
    source: Source,
    config: Config,
    draw: _DrawnOnce,
    output: str | Path | None,
    inputs: tuple[str, ...],
    segment_s: float | None,
) -> Sink:
    if output is None:
        raise RequestError("segments need a name: say with -o OUT.mp4 where the overlay goes")
    where = f"{config.where}: [video]"
    values: dict[str, Any] = {"path": output, "draw": draw, **config.video}
    sink: Sink
    if source.info.kind == "pictures":
        if segment_s is not None:
            raise RequestError(
                f"{source.info.name}: pictures have no length; segments are for videos"
            )
        from perception.sinks.images import ImagesSink

        sink = ImagesSink(output, draw=draw.bgr)
    elif segment_s is not None:
        from perception.sinks.segments import SegmentsSink

        sink = construct(SegmentsSink, {**values, "segment_s": segment_s}, where=where)
    else:
        from perception.sinks.video import VideoSink

        sink = construct(VideoSink, {**values, "inputs": inputs}, where=where)
    return sink


def _live_sinks(source: Source, draw: _DrawnOnce, page: int | str | None, show: bool) -> list[Any]:
    """The page and the window."""
    if source.info.kind == "pictures":
        raise RequestError(
            f"{source.info.name}: a page or a window shows videos and cameras, not pictures"
        )
    sinks: list[Any] = []
    if page is not None:
        from perception.sinks.page import PageSink

        host, port = page_address(page)
        sinks.append(PageSink(port, host=host, draw=draw))
    if show:
        from perception.sinks.window import WindowSink

        sinks.append(WindowSink(draw=draw))
    return sinks


def page_address(page: int | str) -> tuple[str, int]:
    """Host and port out of 8080, "8080" or "0.0.0.0:8080".

    Raises:
        RequestError: there is no port in it.
    """
    host, _, port = str(page).rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise RequestError(
            f"page {page}: must be a port such as 8080, or host:port such as 0.0.0.0:8080"
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def _engine_note(stage: Any) -> dict[str, Any]:
    """What the record says about a stage's engine."""
    return {
        "name": stage.card.name,
        "file": stage.engine.path.name,
        "backend": stage.engine.backend,
        "classes": list(stage.card.classes),
    }
