"""What a build made, for a program and for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from perception.backends.trt_cache import Plan


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made, or found.

    Attributes:
        plan: the plan in the cache.
        made: False when the cache already had it.
        why: in one line, why it was built ("no plan has been built").
        seconds: the time the build took (of the earlier one, when found).
        precisions: layers by precision as the engine inspector reports them, {"fp16": 61, "fp32": 3}.
        parity: figures against ONNX Runtime FP32; None when parity was not asked for.
        slowest: what TensorRT timed longest, (layer and kind of kernel, seconds).
        warnings: one line each.
    """

    plan: Plan
    made: bool
    why: str
    seconds: float
    precisions: dict[str, int]
    parity: dict[str, Any] | None
    slowest: tuple[tuple[str, float], ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())

    def text(self) -> str:
        """A few lines for a terminal."""
        key = self.plan.key
        layers = ", ".join(f"{count} {name}" for name, count in self.precisions.items())
        lines = [
            f"{'built' if self.made else 'already built'}: {self.plan.path}",
            f"  {key.precision}, {key.shapes}, TensorRT {key.tensorrt}, {key.gpu} ({key.capability}), "
            f"{self.plan.size / 2**20:.1f} MiB, {self.seconds:.0f} s",
            f"  layers: {layers or 'the inspector does not say'}",
        ]
        if self.parity is not None:
            lines.append(f"  parity: {self.parity['text']}")
        if self.slowest:
            timed = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.slowest)
            lines.append(f"  took longest to time: {timed}")
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join(lines)

    @classmethod
    def of(cls, plan: Plan, *, made: bool, why: str) -> BuildReport:
        """The report of a plan in the cache."""
        details = plan.details
        return cls(
            plan=plan,
            made=made,
            why=why,
            seconds=float(details.get("seconds", 0.0)),
            precisions=dict(details.get("precisions", {})),
            parity=details.get("parity"),
            slowest=tuple((name, seconds) for name, seconds in details.get("slowest", ())),
            warnings=tuple(details.get("warnings", ())),
        )
