"""Where built plans live: keys, atomic files, staleness in one line, one build at a time.

A plan is two files in ``<cache>/tensorrt``: ``NAME-PRECISION-KEY.plan``, exactly what TensorRT wrote, and
``NAME-PRECISION-KEY.json``, the record: every part of the key, the plan's size and hash, the parity
report, the engine's card. The record is renamed into place last, so a plan without one does not exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from perception.backends.cache_folder import write_atomically
from perception.backends.trt_lock import file_lock
from perception.errors import EngineError

SCHEMA = "perception-plan/1"


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything a plan depends on.

    Attributes:
        onnx: SHA-256 of the ONNX file, hexadecimal.
        tensorrt: TensorRT's full version.
        gpu: the GPU's name.
        capability: its compute capability, "8.7".
        precision: "fp32", "fp16" or "int8".
        shapes: the optimisation profiles as `shapes_text` writes them.
    """

    onnx: str
    tensorrt: str
    gpu: str
    capability: str
    precision: str
    shapes: str

    @property
    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differs(self, other: PlanKey) -> str:
        """In words, what a plan of key `other` was built for and this machine or file is not."""
        said = {
            "onnx": "the ONNX file has changed",
            "tensorrt": f"it was built by TensorRT {other.tensorrt}, and this is {self.tensorrt}",
            "gpu": f"it was built on {other.gpu}, and this is {self.gpu}",
            "capability": f"it was built for compute {other.capability}, and this is {self.capability}",
            "precision": f"it is {other.precision}, and {self.precision} is asked",
            "shapes": f"it was built for {other.shapes}, and {self.shapes} is asked",
        }
        parts = [text for name, text in said.items() if getattr(self, name) != getattr(other, name)]
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Plan:
    """A finished plan in the cache.

    Attributes:
        path: the plan.
        record: the record's path.
        key: what it was built for.
        details: the rest of the record: "built" (ISO time), "seconds", "profiles", "precisions",
            "parity", "card", "source".
    """

    path: Path
    record: Path
    key: PlanKey
    size: int
    sha256: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanState:
    """What the cache holds for a key: "built", "stale" or "missing", and in one line why."""

    state: str
    why: str = ""
    plan: Plan | None = None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class PlanCache:
    """The plans in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def plan_path(self, name: str, key: PlanKey) -> Path:
        return self.folder / f"{name}-{key.precision}-{key.digest}.plan"

    def state(self, name: str, key: PlanKey) -> PlanState:
        """Whether a plan for exactly this key is there and whole, and if not, why not."""
        path = self.plan_path(name, key)
        record = path.with_suffix(".json")
        if not record.exists():
            if path.exists():
                return PlanState("stale", f"{path.name} has no record beside it: not one of ours")
            return self._nearest(name, key)
        try:
            plan = _read(record)
        except (ValueError, KeyError, TypeError, OSError) as error:
            return PlanState("stale", f"{record.name} is broken ({error})")
        if plan.key != key:
            return PlanState("stale", f"{record.name} is of another plan")
        return _whole(plan)

    def _nearest(self, name: str, key: PlanKey) -> PlanState:
        """No plan for the key: say how the closest one of the same engine and precision differs."""
        others = [plan for plan in self.plans(name) if plan.key.precision == key.precision]
        if not others:
            return PlanState("missing", "no plan has been built")
        closest = min(others, key=lambda plan: len(key.differs(plan.key)))
        return PlanState("stale", key.differs(closest.key))

    def plans(self, name: str | None = None) -> Iterator[Plan]:
        """Every readable record, newest first; those of one engine if a name is given."""
        try:
            records = sorted(self.folder.glob("*.json"), key=_age, reverse=True)
        except OSError:
            return
        for record in records:
            try:
                plan = _read(record)
            except (ValueError, KeyError, TypeError, OSError):
                continue
            if name is None or plan.details.get("name") == name:
                yield plan

    def lookup(
        self,
        name: str,
        *,
        onnx: str,
        tensorrt: str,
        gpu: str,
        capability: str,
        precision: str | None = None,
        size: tuple[int, int] | None = None,
        batch: int | None = None,
    ) -> tuple[Plan | None, str]:
        """The plan built last for this ONNX file, TensorRT and GPU; of any precision, size and batch that
        is not asked for.

        Returns:
            The plan, or None and in one line why there is none.
        """  # fmt: skip
        why = "no plan has been built"
        for plan in self.plans():
            have = plan.key
            if have.onnx != onnx and plan.details.get("name") != name:
                continue
            wanted = PlanKey(
                onnx, tensorrt, gpu, capability, precision or have.precision, have.shapes
            )
            problem = wanted.differs(have)
            if not problem and size is not None and plan.details.get("size") != list(size):
                problem = f"its plan is for {have.shapes}, and {size[0]}x{size[1]} is asked"
            if not problem and batch is not None and _batch_of(plan) < batch:
                problem = f"its plan is for {have.shapes}, and a batch of {batch} is asked"
            if not problem:
                state = _whole(plan)
                if state.plan is not None:
                    return plan, ""
                problem = state.why
            if why == "no plan has been built":
                why = problem
        return None, why

    def store(self, name: str, key: PlanKey, plan: bytes, details: dict[str, Any]) -> Plan:
        """Write a plan and its record; nothing half written is ever seen under their names.

        Raises:
            EngineError: the folder cannot be written, or the disk is full.
        """
        path = self.plan_path(name, key)
        record = path.with_suffix(".json")
        body = {
            "schema": SCHEMA,
            "key": asdict(key),
            "size": len(plan),
            "sha256": hashlib.sha256(plan).hexdigest(),
            "details": {**details, "name": name},
        }
        write_atomically(path, plan)
        write_atomically(record, (json.dumps(body, indent=1) + "\n").encode())
        return _read(record)

    def read(self, plan: Plan) -> bytes:
        """The plan's bytes.

        Raises:
            EngineError: it went away or was cut since it was looked up.
        """
        try:
            data = plan.path.read_bytes()
        except OSError as error:
            raise EngineError(f"{plan.path}: the plan cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != plan.sha256:
            raise EngineError(f"{plan.path}: the plan changed while it was opened; start again")
        return data

    @contextmanager
    def lock(self, name: str, key: PlanKey, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the right to build this plan; `waiting` is called once if another process has it.

        The lock goes with its process, so a crash leaves none behind.
        """
        with file_lock(self.plan_path(name, key).with_suffix(".lock"), waiting):
            yield

    def timing_path(self, key: PlanKey) -> Path:
        """The timing cache: measured kernel times, good for every engine on this GPU and TensorRT."""
        text = f"{key.tensorrt}|{key.gpu}|{key.capability}"
        return self.folder / f"timing-{hashlib.sha256(text.encode()).hexdigest()[:16]}.cache"


def _read(record: Path) -> Plan:
    body = json.loads(record.read_text(encoding="utf-8"))
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        raise ValueError(f"not a {SCHEMA} record")
    values = body["key"]
    key = PlanKey(**{part.name: str(values[part.name]) for part in fields(PlanKey)})
    path = record.with_suffix(".plan")
    return Plan(path, record, key, int(body["size"]), str(body["sha256"]), dict(body["details"]))


def _batch_of(plan: Plan) -> int:
    """Most pictures in one call."""
    profiles = plan.details.get("profiles", [])
    return max(
        (shape[2][0] for profile in profiles for shape in profile.values() if shape[2]), default=1
    )


def _whole(plan: Plan) -> PlanState:
    if not plan.path.exists():
        return PlanState("stale", f"{plan.path.name} is gone, only its record is there")
    size = plan.path.stat().st_size
    if size != plan.size:
        return PlanState("stale", f"{plan.path.name} must have {plan.size} bytes, but has {size}")
    if sha256_of(plan.path) != plan.sha256:
        return PlanState("stale", f"{plan.path.name} is damaged: its hash is not the recorded one")
    return PlanState("built", "", plan)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
