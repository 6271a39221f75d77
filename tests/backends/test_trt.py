"""Running plans: results, order on the stream, memory that is kept, graphs, errors, and the lazy build."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends import Engine, FrameEngine, open_engine
from perception.backends.onnxrt import OnnxRuntimeEngine
from perception.backends.trt import TensorRTEngine
from perception.backends.trt_build import build
from perception.backends.trt_inspect import layers_of
from perception.backends.trt_plans import has_plan
from perception.errors import EngineError, RequestError
from perception.models.anchor_free import AnchorFree
from perception.preprocess import Preprocessor
from perception.types import Frame

HALF_ROUNDING = 0.01


def images(count: int, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {"images": random.random((count, 3, 32, 64), dtype=np.float32)}


@pytest.fixture
def built(each: Any, tiny: Path) -> Path:
    """`tiny`, built for batches of 1 and of 1 to 4."""
    build(tiny, batch=4, parity=False)
    each.cuda.calls.clear()
    return tiny


def test_an_engine_is_what_the_protocol_says(built: Path) -> None:
    with TensorRTEngine(built) as engine:
        assert isinstance(engine, Engine)
        assert engine.backend == "tensorrt" and engine.path == built
        (given,), (result,) = engine.inputs, engine.outputs
        assert (given.name, given.dtype, given.shape) == ("images", np.float32, (-1, 3, 32, 64))
        assert (result.name, result.dtype, result.shape) == ("boxes", np.float32, (-1, 512, 6))
        assert engine.card is not None and engine.card.name == "tiny"
        assert len(layers_of(engine.inspect())) > 3


def test_results_are_onnx_runtime_s_for_every_batch_in_any_order(built: Path) -> None:
    reference = OnnxRuntimeEngine(built)
    with TensorRTEngine(built) as engine:
        for step, count in enumerate((1, 1, 1, 1, 1, 4, 2, 4, 1, 3, 3, 3, 3, 3, 1)):
            feeds = images(count, step)
            have, want = engine.infer(feeds)["boxes"], reference.infer(feeds)["boxes"]
            assert have.shape == want.shape
            assert np.abs(have - want).max() < HALF_ROUNDING, f"step {step}, batch {count}"


def test_outputs_are_borrowed(built: Path) -> None:
    with TensorRTEngine(built) as engine:
        first = engine.infer(images(1, 0))["boxes"]
        kept = first.copy()
        second = engine.infer(images(1, 1))["boxes"]

        assert np.shares_memory(first, second)
        assert not np.array_equal(first, kept)


def test_memory_is_taken_once_and_given_back(each: Any, built: Path) -> None:
    engine = TensorRTEngine(built)
    taken = dict(each.cuda.memory)
    for step in range(6):
        engine.infer(images(1 + step % 4, step))

    assert each.cuda.memory.keys() == taken.keys()
    assert sorted(kind for kind, _ in taken.values()) == ["device", "device", "host", "host"]
    engine.close()
    engine.close()
    assert not each.cuda.memory and not each.cuda.streams and not each.cuda.graphs


def test_a_repeating_shape_becomes_a_graph(each: Any, built: Path) -> None:
    with TensorRTEngine(built) as engine:
        for step in range(8):
            feeds = images(1, step)
            have = engine.infer(feeds)["boxes"].copy()
            assert (
                np.abs(have - OnnxRuntimeEngine(built).infer(feeds)["boxes"]).max() < HALF_ROUNDING
            )
        assert each.cuda.calls["cudaGraphInstantiate"] == 1
        assert each.cuda.calls["cudaGraphLaunch"] == 6
        assert each.cuda.calls["cudaMemcpyAsync"] == 2 * 2 + 2  # two runs without, and the capture


def test_changing_shapes_are_not_captured_and_old_graphs_are_dropped(
    each: Any, built: Path
) -> None:
    with TensorRTEngine(built) as engine:
        for count in (2, 3, 2, 3, 2, 3):
            engine.infer(images(count))
        assert each.cuda.calls["cudaGraphInstantiate"] == 0
        for count in (2, 2, 2, 2, 3, 3, 3):
            engine.infer(images(count))
        assert each.cuda.calls["cudaGraphInstantiate"] == 2
        assert len(each.cuda.graphs) == 1


def test_batch_1_keeps_its_graph_beside_larger_batches(each: Any, built: Path) -> None:
    with TensorRTEngine(built) as engine:
        for count in (1, 1, 1, 4, 1, 4, 1, 4, 1):
            engine.infer(images(count))
        assert each.cuda.calls["cudaGraphInstantiate"] == 2
        assert each.cuda.calls["cudaGraphLaunch"] == 4 + 1
        assert len(each.cuda.graphs) == 2


def test_graphs_can_be_turned_off(each: Any, built: Path) -> None:
    with TensorRTEngine(built, graphs=False) as engine:
        for _ in range(6):
            engine.infer(images(1))
    assert each.cuda.calls["cudaStreamBeginCapture"] == 0


@pytest.mark.parametrize("where", ["tensorrt", "cuda"])
def test_a_network_that_cannot_be_captured_runs_without_a_graph(
    each: Any, built: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    if where == "tensorrt":
        each.state.refuse = {"capture"}
    else:
        each.cuda.fail["cudaGraphInstantiate"] = 900
    want = OnnxRuntimeEngine(built).infer(images(1))["boxes"]
    with caplog.at_level("INFO", logger="perception"), TensorRTEngine(built) as engine:
        for _ in range(6):
            assert np.abs(engine.infer(images(1))["boxes"] - want).max() < HALF_ROUNDING

    assert caplog.text.count("runs without a CUDA graph") == 1
    assert not each.cuda.graphs and not each.cuda.memory


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({}, "inputs must be images, but are none"),
        (
            {"picture": np.zeros((1, 3, 32, 64), np.float32)},
            "inputs must be images, but are picture",
        ),
        (
            {"images": np.zeros((1, 3, 32, 64), np.float64)},
            "images must be float32, but is float64",
        ),
        ({"images": np.zeros((5, 3, 32, 64), np.float32)}, r"but got {'images': \(5, 3, 32, 64\)}"),
        ({"images": np.zeros((1, 3, 64, 64), np.float32)}, "perception build --size --batch"),
        ({"images": np.zeros((3, 32, 64), np.float32)}, "the plan was built for images"),
    ],
)
def test_a_wrong_feed_is_told(built: Path, feeds: Any, said: str) -> None:
    with TensorRTEngine(built) as engine, pytest.raises(EngineError, match=said):
        engine.infer(feeds)


@pytest.mark.parametrize(
    ("refused", "said"),
    [("execute", "inference failed"), ("shape", r"images cannot be \(1, 3, 32, 64\)")],
)
def test_a_failure_on_the_gpu_is_told(each: Any, built: Path, refused: str, said: str) -> None:
    with TensorRTEngine(built) as engine:
        each.state.refuse = {refused}
        with pytest.raises(EngineError, match=said):
            engine.infer(images(1))


def test_a_failed_copy_names_the_call(each: Any, built: Path) -> None:
    with TensorRTEngine(built) as engine:
        each.cuda.fail["cudaMemcpyAsync"] = 1
        with pytest.raises(EngineError, match="CUDA: queueing a copy of 24576 bytes failed"):
            engine.infer(images(1))
        del each.cuda.fail["cudaMemcpyAsync"]


def test_too_little_memory_is_told_and_nothing_stays_taken(each: Any, built: Path) -> None:
    each.cuda.fail["cudaMalloc"] = 2

    with pytest.raises(EngineError, match="MiB of device memory failed"):
        TensorRTEngine(built)
    assert not each.cuda.memory and not each.cuda.streams


def test_a_closed_engine_says_so(built: Path) -> None:
    engine = TensorRTEngine(built)
    engine.close()

    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(images(1))


def test_an_output_whose_size_depends_on_the_picture_is_refused(each: Any, built: Path) -> None:
    each.state.dynamic_output = True

    with pytest.raises(EngineError, match="depends on the picture; export it"):
        TensorRTEngine(built)
    assert not each.cuda.memory


def test_a_missing_plan_is_built_at_first_use_with_a_message(
    each: Any, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_engine(tiny, backend="tensorrt") as engine:  # type: ignore[attr-defined]
        assert engine.infer(images(1))["boxes"].shape == (1, 512, 6)

    assert "tiny.onnx: no plan has been built; building it for this machine now" in caplog.text
    caplog.clear()
    open_engine(tiny, backend="tensorrt").close()
    assert each.state.builds == 1 and not caplog.records


def test_a_missing_plan_can_be_an_error(fake: Any, tiny: Path) -> None:
    with pytest.raises(
        EngineError, match=r"has no TensorRT plan \(no plan has been built\); `perception build"
    ):
        TensorRTEngine(tiny, build=False)


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_damaged_plan_is_built_again(
    each: Any, tiny: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    plan = build(tiny, parity=False).plan
    plan.path.write_bytes(
        plan.path.read_bytes()[:-9] if damage == "truncated" else b"x" * plan.size
    )

    with TensorRTEngine(tiny) as engine:
        engine.infer(images(1))

    assert each.state.builds == 2
    assert ("bytes, but has" if damage == "truncated" else "is damaged") in caplog.text


def test_a_plan_of_another_version_is_built_again(
    install: Callable[[str], Any], tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install("8.6.0")
    build(tiny, parity=False)
    install("10.16.1.11")

    with TensorRTEngine(tiny) as engine:
        engine.infer(images(1))

    assert "it was built by TensorRT 8.6.0, and this is 10.16.1.11" in caplog.text


def test_a_plan_that_tensorrt_refuses_is_told_with_its_words(each: Any, built: Path) -> None:
    other = "10.16.1.11" if each.version == "8.6.0" else "8.6.0"
    (plan,) = (p for p in (built.parent / "cache" / "tensorrt").glob("*.plan"))
    data = plan.read_bytes().replace(each.version.encode(), other.encode())
    from perception.backends.trt_version import load_api

    with pytest.raises(EngineError, match="refuses the plan: Serialization assertion"):
        TensorRTEngine.from_bytes(load_api(), data, path=built, metadata={})
    assert not each.cuda.streams


def test_auto_takes_tensorrt_only_where_a_plan_is_built(
    each: Any, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(tiny)
    assert engine.backend == "onnxruntime" and each.state.builds == 0
    (record,) = caplog.records
    assert "runs not on TensorRT: no plan has been built" in record.message

    build(tiny, parity=False)
    caplog.clear()
    engine = open_engine(tiny)
    assert engine.backend == "tensorrt" and not caplog.records
    engine.close()


def test_auto_runs_on_the_cpu_where_there_is_no_gpu(
    fake: Any, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.cuda.driver_version = 0

    assert open_engine(tiny).backend == "onnxruntime"
    assert has_plan(tiny) == (
        False,
        "no NVIDIA driver is loaded: there is no GPU here, or `nvidia-smi` fails too",
    )
    assert len(caplog.records) == 1


def test_auto_without_tensorrt_is_quiet(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with caplog.at_level("INFO", logger="perception"):
        assert open_engine(tiny).backend == "onnxruntime"
    (record,) = caplog.records
    assert record.levelname == "INFO" and "runs on onnxruntime" in record.message


def test_an_unknown_backend_is_told(tiny: Path) -> None:
    with pytest.raises(RequestError, match="did you mean 'tensorrt'"):
        open_engine(tiny, backend="tensort")


def test_a_detector_finds_the_same_on_both_runtimes(each: Any, bright_engine: Path) -> None:
    image = np.zeros((96, 160, 3), np.uint8)
    image[32:64, 64:96] = 255
    frame = Frame(image)
    with TensorRTEngine(bright_engine, prepare="host") as engine:
        assert isinstance(engine, FrameEngine)
        reference = OnnxRuntimeEngine(bright_engine)
        assert engine.card is not None
        ours = AnchorFree(engine, engine.card)(frame)
        theirs = AnchorFree(reference, engine.card)(frame)

    assert len(theirs) == 1
    assert (
        np.abs(ours.xyxy - theirs.xyxy).max() < 1 and np.abs(ours.score - theirs.score).max() < 0.01
    )


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ to run the kernel")
def test_frames_prepared_on_the_gpu_give_what_the_host_path_gives(each: Any, built: Path) -> None:
    random = np.random.default_rng(0)
    frames = [
        Frame(np.kron(random.integers(0, 255, (9, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8))
        for _ in range(3)
    ]
    with TensorRTEngine(built) as engine:
        assert engine.card is not None
        spec = engine.card.input
        for count in (1, 1, 1, 1, 3, 1):
            outputs, mappings = engine.infer_frames(frames[:count], spec)
            ours = outputs["boxes"].copy()
            for number in range(count):
                tensor, mapping = Preprocessor(spec)(frames[number])
                want = engine.infer({"images": tensor})["boxes"][0]
                assert mappings[number] == mapping
                assert np.abs(ours[number] - want).max() < 0.05
    assert not each.cuda.memory


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ to run the kernel")
def test_frames_prepared_on_the_gpu_use_the_graph_with_fresh_pixels(each: Any, built: Path) -> None:
    with TensorRTEngine(built) as engine:
        assert engine.card is not None
        spec = engine.card.input
        levels = (10, 50, 90, 130, 170)
        frames = [Frame(np.full((32, 64, 3), level, np.uint8)) for level in levels]
        means = [
            float(engine.infer_frames([frame], spec)[0]["boxes"][0, 100].sum()) for frame in frames
        ]

    assert each.cuda.calls["cudaGraphLaunch"] == 3
    steps = np.diff(means)
    assert len(set(np.round(means, 3))) == 5 and (np.abs(steps) > 0).all()


@pytest.mark.parametrize("prepare", ["auto", "host"])
def test_without_a_kernel_pictures_are_prepared_on_the_host(
    each: Any,
    built: Path,
    prepare: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def missing(*arguments: Any) -> Any:
        raise RuntimeError("Failed to dlopen libnvrtc.so.12")

    monkeypatch.setattr(each.cuda.nvrtc, "nvrtcCreateProgram", missing)
    frame = Frame(np.full((50, 100, 3), 90, np.uint8))
    with TensorRTEngine(built, prepare=prepare) as engine:
        assert engine.card is not None
        spec = engine.card.input
        for _ in range(3):
            outputs, mappings = engine.infer_frames([frame, frame], spec)
        tensor, mapping = Preprocessor(spec)(frame)
        want = OnnxRuntimeEngine(built).infer({"images": tensor})["boxes"]
        assert mappings == [mapping] * 2
        assert np.abs(outputs["boxes"] - want).max() < HALF_ROUNDING

    said = [record.message for record in caplog.records]
    wanted = "pictures are prepared on the CPU, not on the GPU: Failed to dlopen libnvrtc.so.12"
    assert said == ([wanted] if prepare == "auto" else [])


def test_preparing_on_the_gpu_can_be_insisted_on(fake: Any, tiny: Path) -> None:
    fake.cuda.fail["cuModuleLoadData"] = 1
    build(tiny, parity=False)
    with TensorRTEngine(tiny, prepare="gpu") as engine:
        assert engine.card is not None
        with pytest.raises(
            EngineError, match="cannot be prepared on the GPU: CUDA: loading the kernel"
        ):
            engine.infer_frames([Frame(np.zeros((32, 64, 3), np.uint8))], engine.card.input)
    with pytest.raises(RequestError, match="choose one of auto, gpu, host"):
        TensorRTEngine(tiny, prepare="elsewhere")


def test_a_fixed_network_has_fixed_specs(each: Any, make_tiny: Callable[..., Path]) -> None:
    path = make_tiny("fixed", dynamic=False, card=None)
    with TensorRTEngine(path) as engine:
        assert engine.inputs[0].shape == (1, 3, 32, 64) and engine.outputs[0].shape == (1, 512, 6)
        assert engine.card is None
        want = OnnxRuntimeEngine(path).infer(images(1))["boxes"]
        assert np.abs(engine.infer(images(1))["boxes"] - want).max() < HALF_ROUNDING


def test_the_network_alone_runs_in_every_batch_without_copies(each: Any, tiny: Path) -> None:
    build(tiny, precision="fp32", batch=4, parity=False)
    with TensorRTEngine(tiny) as engine:
        given = {"images": np.ones((4, 3, 32, 64), np.float32)}
        want = engine.infer(given)["boxes"].copy()
        copies = each.cuda.calls["cudaMemcpyAsync"]
        for _ in range(4):
            engine.run_alone(4)
            engine.run_alone()
        assert engine.most_pictures == 4
        assert each.cuda.calls["cudaMemcpyAsync"] == copies
        assert (engine.infer(given)["boxes"] == want).all()
