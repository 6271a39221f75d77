"""Putting a run together: a source, the stages of a configuration, and the outputs that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perception.config import DEFAULT, Config, load_config
from perception.registry import construct
from perception.runner import Run
from perception.sinks import Sink
from perception.sources import LiveOptions, Source, open_source

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
    min_score: float | None = None,
    track: bool = True,
    fps: float | None = None,
    live: LiveOptions | None = None,
    max_age_s: float | None = None,
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
        min_score: score limit of every detector.
        track: False leaves out the trackers.
        fps: makes a folder of pictures a sequence at this rate.
        live: of cameras and streams: reconnecting, camera mode; its `live` plays a file as a camera would.
        max_age_s: frames of a live source that are older when their turn comes are skipped.

    Raises:
        InputError: the source cannot be read, or an output not be written.
        ConfigError: the configuration is wrong.
        EngineError: an engine cannot be opened.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    opened = open_source(source, fps=fps, options=live)
    try:
        is_video = opened.info.kind == "video"
        config = config.changed(
            backend=backend,
            min_score=min_score,
            engine=None if engine is None else str(engine),
            family=family,
            track=track and (is_video or fps is not None),
        )
        return open_run(opened, config, output=output, jsonl=jsonl, max_age_s=max_age_s)
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
) -> Run:
    """A run over an open source, with the outputs named by path."""
    inputs = () if source.info.path is None else (source.info.path,)
    sinks: list[Sink] = []
    if output is not None:
        sinks.append(_overlay_sink(source, config, output, inputs))
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
        return Run(source, pipeline, sinks, max_age_s=max_age_s)
    except BaseException:
        pipeline.close()
        raise


def _overlay_sink(
    source: Source, config: Config, output: str | Path, inputs: tuple[str, ...]
) -> Sink:
    # Imported here: a run without an overlay does not pay for the encoder's and the drawing's imports.
    from perception.render import Overlay

    overlay = construct(Overlay, config.overlay, where=f"{config.where}: [overlay]")
    where = f"{config.where}: [video]"
    sink: Sink
    if source.info.kind == "pictures":
        from perception.sinks.images import ImagesSink

        sink = ImagesSink(output, draw=overlay.bgr)
        return sink
    from perception.sinks.video import VideoSink

    values: dict[str, Any] = {"path": output, "draw": overlay, "inputs": inputs, **config.video}
    sink = construct(VideoSink, values, where=where)
    return sink


def _engine_note(stage: Any) -> dict[str, Any]:
    """What the record says about a stage's engine."""
    return {
        "name": stage.card.name,
        "file": stage.engine.path.name,
        "backend": stage.engine.backend,
        "classes": list(stage.card.classes),
    }
