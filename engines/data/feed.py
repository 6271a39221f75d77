"""Batches in order, made ahead: by a thread, or by processes where one core cannot feed the network.

The processes are forked before the network runs: neither CUDA nor a pool of threads survives a fork. They
send through pipes and not through shared memory, of which containers often have little.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import signal
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy.typing as npt
import torch
from torch import Tensor

from perception.errors import RunError

PINNED_FROM = 1 << 16  # bytes; smaller tensors are copied at once anyway


def mapped(batch: Any, function: Callable[[Any], Any], kind: type = Tensor) -> Any:
    """`batch` with `function` applied to every `kind` in its tuples, lists, dicts and dataclasses."""
    if isinstance(batch, kind):
        return function(batch)
    if isinstance(batch, (tuple, list)):
        return type(batch)(mapped(item, function, kind) for item in batch)
    if isinstance(batch, dict):
        return {key: mapped(item, function, kind) for key, item in batch.items()}
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        values = {
            item.name: mapped(getattr(batch, item.name), function, kind)
            for item in dataclasses.fields(batch)
        }
        return dataclasses.replace(batch, **values)
    return batch


def moved(batch: Any, device: torch.device) -> Any:
    """`batch` on the device; on its way there when its large tensors are pinned."""
    if device.type == "cpu":
        return batch
    return mapped(batch, lambda tensor: tensor.to(device, non_blocking=True))


class Feed:
    """Batches first..last-1 of a loader, in order; iterate it once, then close it.

    Args:
        make: makes batch `number`.
        workers: processes; 0 makes batches in a thread of this process.
        pin: put large tensors into memory that a GPU can read while it computes.

    Raises:
        RunError: a process ended without a word. What `make` raises is raised here.
    """

    def __init__(
        self, make: Callable[[int], Any], first: int, last: int, *, workers: int = 0, pin: bool
    ) -> None:
        self._make, self._first, self._last, self._pin = make, first, last, pin
        self._pipes: list[Connection] = []
        self._processes = []
        context = multiprocessing.get_context("fork")
        workers = max(0, min(workers, last - first))
        # OpenCV's pool of threads does not survive a fork: a process that ends the copy it got waits forever for threads
        # it has not. One thread means no pool, here while they start and for good in them.
        threads = cv2.getNumThreads()
        if workers:
            cv2.setNumThreads(1)
        for number in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            self._pipes.append(ours)
            process = context.Process(
                target=_work,
                args=(make, range(first + number, last, workers), theirs, tuple(self._pipes)),
                name=f"loader-{number}",
                daemon=True,
            )
            with warnings.catch_warnings():
                # Python 3.12 warns when threads exist; those of numpy and torch are idle here.
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            self._processes.append(process)
            theirs.close()
        cv2.setNumThreads(threads)

    def __iter__(self) -> Generator[Any, None, None]:
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as pool:
            waiting = pool.submit(self._next, self._first) if self._first < self._last else None
            try:
                for number in range(self._first, self._last):
                    assert waiting is not None
                    ready = waiting.result()
                    if number + 1 < self._last:
                        waiting = pool.submit(self._next, number + 1)
                    yield ready
            finally:
                self.close()

    def _next(self, number: int) -> Any:
        if self._processes:
            row = (number - self._first) % len(self._processes)
            try:
                received = pickle.loads(self._pipes[row].recv_bytes())
            except (EOFError, OSError) as error:
                raise RunError(
                    f"loader process {row} ended while it made batch {number}; "
                    "memory may be short: train with fewer --workers"
                ) from error
            if isinstance(received, BaseException):
                raise received
            batch = mapped(received, _Sent.tensor, _Sent)
        else:
            batch = self._make(number)
        return mapped(batch, _pinned) if self._pin else batch

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()
        self._processes, self._pipes = [], []


@dataclasses.dataclass(frozen=True)
class _Sent:
    """A tensor as an array, which pickles without detours; its memory order is kept."""

    array: npt.NDArray[Any]
    channels_last: bool

    @classmethod
    def of(cls, tensor: Tensor) -> _Sent:
        last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        return cls((tensor.permute(0, 2, 3, 1) if last else tensor).numpy(), last)

    def tensor(self) -> Tensor:
        tensor = torch.from_numpy(self.array)
        return tensor.permute(0, 3, 1, 2) if self.channels_last else tensor


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if tensor.nbytes >= PINNED_FROM else tensor


def _work(
    make: Callable[[int], Any], numbers: range, pipe: Connection, others: tuple[Connection, ...]
) -> None:
    """What a process does: make its batches and send them; a full pipe is what keeps it back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # With the reading ends held by the parent alone, a dead parent ends this process too.
    for other in others:
        other.close()
    torch.set_num_threads(1)
    try:
        for number in numbers:
            batch = mapped(make(number), _Sent.of)
            pipe.send_bytes(pickle.dumps(batch, protocol=5))
    except BrokenPipeError:
        return
    except Exception as error:
        pipe.send_bytes(pickle.dumps(error))
    finally:
        pipe.close()
