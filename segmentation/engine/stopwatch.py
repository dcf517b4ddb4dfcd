"""What the stages of a run cost: seconds, rows, memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Stopwatch:
    """Seconds of named stages, disjoint: a stage that starts inside another pauses it.

    `entered` hears of each stage as it starts, and may stop the work by raising. With
    `measures_memory`, `memory` gets each stage's largest resident memory of this process in bytes;
    where the system can't forget a peak (only Linux can) it is the largest so far.
    """

    entered: Callable[[str], None] | None = None
    measures_memory: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    _running: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._book()
        self._running.append(name)
        self.seconds.setdefault(name, 0.0)
        try:
            if self.entered is not None:
                self.entered(name)
            yield
        finally:
            self._book()
            self._running.pop()

    def count(self, name: str, rows: int) -> None:
        """Note how many rows a stage read or wrote."""
        self.rows[name] = self.rows.get(name, 0) + rows

    def rounded(self) -> dict[str, float]:
        """Seconds so far, also of the stage that is running."""
        self._book()
        return {name: round(value, 3) for name, value in self.seconds.items()}

    def _book(self) -> None:
        now = time.perf_counter()
        if self._running:
            name = self._running[-1]
            self.seconds[name] += now - self._since
            if self.measures_memory:
                self.memory[name] = max(self.memory.get(name, 0), peak_memory())
        if self.measures_memory:
            _forget_peak()
        self._since = now


def peak_memory() -> int:
    """The largest resident memory of this process in bytes, since it was last forgotten."""
    with suppress(OSError, ValueError, IndexError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak() -> None:
    with suppress(OSError):
        _CLEAR.write_text("5")
