"""How many frames a second a pipeline really reaches on this machine, and what limits it.

Every part is measured alone, then all of them together, in rounds that take turns, so that a machine whose
speed drifts slows all of them alike; figures are medians over the rounds, with their spread. The first frames
of a measurement warm caches up and do not count. CPU time is that of the whole process, all threads, as the
operating system counts it: unlike frames per second it hardly changes when other programs run.
"""

from __future__ import annotations

from perception.bench.compare import compare
from perception.bench.figures import Benchmark, Part
from perception.bench.measure import measure

__all__ = ["Benchmark", "Part", "compare", "measure"]
