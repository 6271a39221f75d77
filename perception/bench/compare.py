"""Two benchmarks side by side: what became faster, by more than the rounds differ anyway."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from perception.errors import InputError

SCHEMAS = ("perception-bench/1", "perception-bench/2")
# Rounds that agree perfectly still say nothing about the next run: differences below this are noise.
LEAST_SPREAD = 0.02


def compare(first: str | Path, second: str | Path) -> str:
    """A table of the parts that two results share, the second against the first.

    Raises:
        InputError: a file is missing, or is no benchmark's result.
    """
    a, b = _read(first), _read(second)
    lines = [f"a: {first}  ({_about(a)})", f"b: {second}  ({_about(b)})"]
    lines += [f"note: {sentence}" for sentence in _differences(a, b)]
    lines += [
        "",
        f"{'part':<16}{'a fps':>9}{'b fps':>9}{'b / a':>8}{'a CPU':>9}{'b CPU':>9}{'b / a':>8}",
    ]
    shared = [name for name in a["parts"] if name in b["parts"]]
    if not shared:
        lines.append("nothing was measured in both")
    for name in shared:
        one, two = a["parts"][name], b["parts"][name]
        cpu = statistics.median(one["cpu_ms"]), statistics.median(two["cpu_ms"])
        faster = two["fps"] / one["fps"]
        lines.append(
            f"{name:<16}{one['fps']:>9.1f}{two['fps']:>9.1f}{faster:>8.2f}{cpu[0]:>9.2f}{cpu[1]:>9.2f}"
            f"{cpu[1] / max(cpu[0], 1e-9):>8.2f}  {_verdict(one, two, faster)}"
        )
    for name, label in (("stages_ms", "stage p50 ms"), ("latency_ms", "latency p50 ms")):
        rows = _medians(a.get(name, {})), _medians(b.get(name, {}))
        for stage in (stage for stage in rows[0] if stage in rows[1]):
            lines.append(
                f"{label} {stage}".rstrip() + f": {rows[0][stage]:.2f}, {rows[1][stage]:.2f}"
            )
    return "\n".join(lines)


def _read(path: str | Path) -> dict[str, Any]:
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema") not in SCHEMAS:
        raise InputError(
            f"{path}: is no result of `perception bench --json`, whose schema is {SCHEMAS[-1]}"
        )
    return content


def _about(result: dict[str, Any]) -> str:
    width, height = result["size"]
    return f"{result['source']} {width}x{height} on {result['machine']['cpu']}"


def _differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What makes two results hard to compare."""
    found = []
    for name, label in (("cpu", "processors"), ("cores", "numbers of cores"), ("gpu", "GPUs")):
        if a["machine"].get(name) != b["machine"].get(name):
            found.append(f"the {label} differ: compare ratios only")
    if (a["source"], a["size"]) != (b["source"], b["size"]):
        found.append("the sources differ")
    if a.get("engines", {}) != b.get("engines", {}):
        found.append("the engines or their settings differ")
    versions = a["machine"].get("versions", {}), b["machine"].get("versions", {})
    changed = sorted(
        name for name in versions[0] | versions[1] if versions[0].get(name) != versions[1].get(name)
    )
    if changed:
        found.append(f"other versions of {', '.join(changed)}")
    return found


def _verdict(one: dict[str, Any], two: dict[str, Any], faster: float) -> str:
    spread = max(_spread(one), _spread(two), LEAST_SPREAD)
    if abs(faster - 1) <= spread:
        return "same within the spread"
    return "faster" if faster > 1 else "slower"


def _spread(part: dict[str, Any]) -> float:
    times = part["wall_ms"]
    return float((max(times) - min(times)) / statistics.median(times))


def _medians(values: dict[str, Any]) -> dict[str, float]:
    """p50 by stage, or of the quantiles themselves under an empty name."""
    if "p50" in values:
        return {"": values["p50"]}
    return {name: row["p50"] for name, row in values.items() if row}
