"""The data that flows through a pipeline: numpy arrays in small frozen containers.

Conventions, said once and used everywhere:

- **Boxes** are ``xyxy``: x1, y1, x2, y2 in pixels of the source picture *as shown* (after rotation);
  x to the right, y down, pixel centres at integer + 0.5, so a full picture is (0, 0, width, height).
- **Sizes** are (width, height); array **shapes** are (height, width, channels).
- **Colour** pictures are BGR, uint8. Planes are Y'CbCr 4:2:0, uint8.
- **Time** is the stream's own: ``pts * time_base`` seconds, exact as a fraction. Ages and timeouts are
  in seconds. ``arrived`` is the machine's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

ROAD_CLASSES = (
    "car",
    "truck",
    "bus",
    "motorcycle",
    "bicycle",
    "person",
    "traffic_light",
    "traffic_sign",
    "plate",
)


def _array(
    owner: str, name: str, value: Any, dtype: type, shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return `value` as an array of the wanted dtype, or raise with the wanted and the actual shape."""
    array: npt.NDArray[Any] = value
    if type(value) is not np.ndarray or value.dtype != dtype or not value.flags.c_contiguous:
        array = np.ascontiguousarray(value, dtype=dtype)
    if array.shape == shape:
        return array
    matches = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not matches:
        wanted = tuple("N" if want is None else want for want in shape)
        raise ValueError(f"{owner}.{name} must have shape {wanted}, but has shape {array.shape}")
    return array


@dataclass(frozen=True, slots=True)
class Planes:
    """A decoded picture as it leaves the decoder: Y'CbCr 4:2:0, 8 bit.

    Attributes:
        y: (H, W) uint8.
        u: (ceil(H/2), ceil(W/2)) uint8, Cb.
        v: as `u`, Cr.
        matrix: "bt601", "bt709" or "bt2020": how to go to RGB.
        full_range: True when black is 0 and white 255 (JPEG), False for 16-235 (video).
    """

    y: U8
    u: U8
    v: U8
    matrix: str = "bt601"
    full_range: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.y.shape[1], self.y.shape[0]


class DevicePicture(Protocol):
    """A decoded picture in the memory of a GPU: Y'CbCr 4:2:0, 8 bit, Cb and Cr in pairs (NV12).

    Attributes:
        luma: device address of (H, W) uint8, rows `pitch` bytes apart.
        chroma: device address of (H/2, W/2, 2) uint8, rows `pitch` bytes apart.
        size: (width, height), both even.
        matrix, full_range: as of `Planes`.
    """

    luma: int
    chroma: int
    pitch: int
    size: tuple[int, int]
    matrix: str
    full_range: bool

    def download(self) -> Planes:
        """A copy in host memory."""
        ...


class Frame:
    """One picture of one stream.

    Give one of `image`, `planes` and `device`. A decoded video frame carries `planes`; its BGR `image` is
    made on first use (by `to_bgr`), so a pipeline that never asks for it never pays for it. A frame that was
    decoded on a GPU carries `device`, and its `planes` come to the host on first use.

    Attributes:
        device: the picture in GPU memory, or None.
        index: number of the frame in its stream, from 0; a gap means dropped or lost frames.
        pts, time_base: the stream's time stamp, exact.
        time: seconds, ``float(pts * time_base)``.
        arrived: monotonic seconds at which the frame was handed over by its source.
        stream: number of the stream in a run with several sources.
        path: the picture's path when the source is pictures, else None.
        wall: Unix seconds at which the frame of a live source arrived; None for recordings.
    """

    __slots__ = (
        "_image",
        "_planes",
        "_to_bgr",
        "arrived",
        "device",
        "index",
        "path",
        "pts",
        "stream",
        "time_base",
        "wall",
    )

    def __init__(
        self,
        image: U8 | None = None,
        *,
        planes: Planes | None = None,
        device: DevicePicture | None = None,
        to_bgr: Callable[[Planes], U8] | None = None,
        index: int = 0,
        pts: int = 0,
        time_base: Fraction = Fraction(1, 1000),
        arrived: float = 0.0,
        stream: int = 0,
        path: str | None = None,
        wall: float | None = None,
    ) -> None:
        if sum(given is not None for given in (image, planes, device)) != 1:
            raise ValueError("Frame must be given exactly one of image, planes and device")
        if image is None and to_bgr is None:
            raise ValueError("Frame with planes must be given to_bgr, the conversion to use")
        if image is not None:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    f"Frame.image must be (H, W, 3) uint8, but is {image.shape} {image.dtype}"
                )
            image = image.view()
            image.flags.writeable = False
        self._image = image
        self._to_bgr = to_bgr
        self._planes = planes
        self.device = device
        self.index = index
        self.pts = pts
        self.time_base = time_base
        self.arrived = arrived
        self.stream = stream
        self.path = path
        self.wall = wall

    @property
    def planes(self) -> Planes | None:
        """The planes as decoded, read-only; None of a frame that was given as an `image`."""
        if self._planes is None and self.device is not None:
            self._planes = self.device.download()
        return self._planes

    @property
    def image(self) -> U8:
        """(H, W, 3) uint8 BGR, read-only."""
        if self._image is None:
            planes = self.planes
            assert planes is not None and self._to_bgr is not None
            image = self._to_bgr(planes)
            image.flags.writeable = False
            self._image = image
        return self._image

    @property
    def time(self) -> float:
        return float(self.pts * self.time_base)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture as shown."""
        if self.device is not None:
            return self.device.size
        if self._planes is not None:
            return self._planes.size
        assert self._image is not None
        return self._image.shape[1], self._image.shape[0]

    def __repr__(self) -> str:
        width, height = self.size
        return f"Frame(index={self.index}, time={self.time:.3f}, size={width}x{height})"


@dataclass(frozen=True, slots=True)
class Detections:
    """What one detector found on one frame.

    Attributes:
        xyxy: (N, 4) float32, source pixels.
        score: (N,) float32 in 0..1.
        class_id: (N,) int32, index into `classes`.
        classes: names by class_id.
        keypoints: (N, K, 3) float32 x, y, score; K is 0 when the detector has none.
    """

    xyxy: F32
    score: F32
    class_id: I32
    classes: tuple[str, ...]
    keypoints: F32 = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))

    def __post_init__(self) -> None:
        xyxy = _array("Detections", "xyxy", self.xyxy, np.float32, (None, 4))
        n = len(xyxy)
        keypoints = self.keypoints
        if keypoints.size == 0:
            keypoints = np.zeros((n, 0, 3), np.float32)
        values = {
            "xyxy": xyxy,
            "score": _array("Detections", "score", self.score, np.float32, (n,)),
            "class_id": _array("Detections", "class_id", self.class_id, np.int32, (n,)),
            "keypoints": _array("Detections", "keypoints", keypoints, np.float32, (n, None, 3)),
            "classes": tuple(self.classes),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def empty(cls, classes: Sequence[str]) -> Detections:
        return cls(
            xyxy=np.zeros((0, 4), np.float32),
            score=np.zeros(0, np.float32),
            class_id=np.zeros(0, np.int32),
            classes=tuple(classes),
        )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: Any) -> Detections:
        """Select rows by a mask, a slice or an array of row numbers."""
        if isinstance(rows, (int, np.integer)):
            rows = [int(rows)]
        return Detections(
            xyxy=self.xyxy[rows],
            score=self.score[rows],
            class_id=self.class_id[rows],
            classes=self.classes,
            keypoints=self.keypoints[rows],
        )


@dataclass(frozen=True, slots=True)
class Tracks:
    """Objects followed over time, as they are on one frame.

    Attributes:
        track_id: (N,) int64, from 1, never used twice in a run and stream.
        xyxy: (N, 4) float32, source pixels, the tracker's estimate.
        velocity: (N, 2) float32, pixels per second of the box centre.
        age: (N,) float32, seconds since the first detection.
        detection: (N,) int64, row of this frame's Detections, or -1 when the track was looked for and is only
            predicted, or -2 when it is predicted because nobody looked on this frame (`FrameResult.skipped`).
        score: (N,) float32, of the detection, or of the last one.
        class_id: (N,) int32, index into `classes`.
        classes: names by class_id.
        attributes: by track_id: what classifiers said ({"sign": "speed_50"}).
    """

    track_id: I64
    xyxy: F32
    velocity: F32
    age: F32
    detection: I64
    score: F32
    class_id: I32
    classes: tuple[str, ...]
    attributes: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        track_id = _array("Tracks", "track_id", self.track_id, np.int64, (None,))
        n = len(track_id)
        values: dict[str, Any] = {
            "track_id": track_id,
            "xyxy": _array("Tracks", "xyxy", self.xyxy, np.float32, (n, 4)),
            "velocity": _array("Tracks", "velocity", self.velocity, np.float32, (n, 2)),
            "age": _array("Tracks", "age", self.age, np.float32, (n,)),
            "detection": _array("Tracks", "detection", self.detection, np.int64, (n,)),
            "score": _array("Tracks", "score", self.score, np.float32, (n,)),
            "class_id": _array("Tracks", "class_id", self.class_id, np.int32, (n,)),
            "classes": tuple(self.classes),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def empty(cls, classes: Sequence[str]) -> Tracks:
        return cls(
            track_id=np.zeros(0, np.int64),
            xyxy=np.zeros((0, 4), np.float32),
            velocity=np.zeros((0, 2), np.float32),
            age=np.zeros(0, np.float32),
            detection=np.zeros(0, np.int64),
            score=np.zeros(0, np.float32),
            class_id=np.zeros(0, np.int32),
            classes=tuple(classes),
        )

    def __len__(self) -> int:
        return len(self.track_id)


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane line: `points` (N, 2) float32 source pixels, near to far; side -1 left of ego, +1 right."""

    points: F32
    side: int
    score: float


@dataclass(frozen=True, slots=True)
class Lanes:
    """Lane lines and the drivable area of one frame.

    Attributes:
        lines: the lane lines.
        drivable: outlines of the drivable area, each (N, 2) float32 source pixels.
    """

    lines: tuple[Lane, ...] = ()
    drivable: tuple[F32, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: a disconnect, a blocked camera, a short headway."""

    kind: str
    time: float
    frame_index: int
    track_id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectView:
    """One row of the record: a detection, a track, or both.

    `keypoints` are the detection's, each x, y, score; empty where the detector has none.
    """

    task: str
    class_name: str
    score: float
    xyxy: tuple[float, float, float, float]
    track_id: int | None
    predicted: bool
    attributes: dict[str, Any]
    keypoints: tuple[tuple[float, ...], ...] = ()


@dataclass(slots=True)
class FrameResult:
    """A frame and everything the stages said about it.

    Attributes:
        detections: by task ("road", "face").
        tracks: by task.
        attributes: by task and row of its detections: what classifiers said where there are no tracks.
        lanes: None when no lane stage ran.
        skipped: the fields whose stage rested on this frame because of its `every_s`: detections are empty,
            tracks predicted, lanes those of the last time.
        timings: seconds by stage name.
        latency: seconds from `frame.arrived` to the end of the last stage.
    """

    frame: Frame
    detections: dict[str, Detections] = field(default_factory=dict)
    tracks: dict[str, Tracks] = field(default_factory=dict)
    attributes: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    lanes: Lanes | None = None
    events: list[Event] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    latency: float = 0.0
    skipped: frozenset[str] = frozenset()

    @property
    def objects(self) -> Iterator[ObjectView]:
        """Every detection, with its track where it has one, then every track that is only predicted."""
        for task, found in self.detections.items():
            tracks = self.tracks.get(task)
            ids: dict[int, int] = {}
            if tracks is not None:
                pairs = zip(tracks.detection.tolist(), tracks.track_id.tolist(), strict=True)
                ids = {row: track_id for row, track_id in pairs if row >= 0}
            said = self.attributes.get(task, {})
            # Whole arrays as lists at once: one element after the other takes three times as long.
            columns = (found.xyxy, found.score, found.class_id, found.keypoints)
            rows = zip(*(column.tolist() for column in columns), strict=True)
            for i, ((x1, y1, x2, y2), score, class_id, points) in enumerate(rows):
                track_id = ids.get(i)
                yield ObjectView(
                    task=task,
                    class_name=found.classes[class_id],
                    score=score,
                    xyxy=(x1, y1, x2, y2),
                    track_id=track_id,
                    predicted=False,
                    attributes={**said.get(i, {}), **_attributes(tracks, track_id)},
                    keypoints=tuple(map(tuple, points)),
                )
        for task, tracks in self.tracks.items():
            for row in np.flatnonzero(tracks.detection < 0).tolist():
                track_id = int(tracks.track_id[row])
                x1, y1, x2, y2 = tracks.xyxy[row].tolist()
                yield ObjectView(
                    task=task,
                    class_name=tracks.classes[tracks.class_id[row]],
                    score=float(tracks.score[row]),
                    xyxy=(x1, y1, x2, y2),
                    track_id=track_id,
                    predicted=True,
                    attributes=_attributes(tracks, track_id),
                )


def _attributes(tracks: Tracks | None, track_id: int | None) -> dict[str, Any]:
    if tracks is None or track_id is None:
        return {}
    return tracks.attributes.get(track_id, {})
