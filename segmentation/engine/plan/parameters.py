"""Parameters of a plan: integers that depend on the as-of, put into the compiled SQL as text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from segmentation.domain.definitions import Window
from segmentation.domain.windows import local_day, matured_end, resolve
from segmentation.engine.local_days import micros

_EPOCH_DAY = date(1970, 1, 1)
_BEGINNING = -(2**62)  # the start of a window that has none
# A parameter is compiled as a number nobody writes and replaced in the SQL text. Ibis itself can
# only compile parameters into literals, which would compile the whole plan again for each as-of.
_SENTINEL = 7_313_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a parameter is computed from."""

    as_of: datetime
    zone: ZoneInfo

    @property
    def today(self) -> int:
        return (local_day(self.as_of, self.zone) - _EPOCH_DAY).days


def bounds_at(as_of: datetime, zone: ZoneInfo) -> Bounds:
    """The bounds of one run."""
    return Bounds(as_of=as_of, zone=zone)


Reader = Callable[[Bounds], int]


@dataclass(slots=True)
class Parameters:
    """The parameters one plan uses, each compiled once however often it is asked for."""

    _readers: dict[str, Reader] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)

    def get(self, name: str, reader: Reader | None) -> ir.IntegerScalar:
        """The expression of a parameter; `reader` None: its value is given when the SQL is made."""
        if name not in self._names:
            self._names.append(name)
            if reader is not None:
                self._readers[name] = reader
        return ibis.literal(_SENTINEL + self._names.index(name), type="int64")

    def as_of(self) -> ir.IntegerScalar:
        return self.get("as_of", lambda bounds: micros(bounds.as_of))

    def today(self) -> ir.IntegerScalar:
        return self.get("today", lambda bounds: bounds.today)

    def start(self, window: Window) -> ir.IntegerScalar:
        def read(bounds: Bounds) -> int:
            start = resolve(window, as_of=bounds.as_of, zone=bounds.zone).start
            return _BEGINNING if start is None else micros(start)

        return self.get(f"start:{window!r}", read)

    def end(self, window: Window) -> ir.IntegerScalar:
        return self.get(
            f"end:{window!r}",
            lambda bounds: micros(resolve(window, as_of=bounds.as_of, zone=bounds.zone).end),
        )

    def earliest(self, windows: Collection[Window]) -> ir.IntegerScalar:
        """The first instant that any of the windows reaches; none of them is without a start."""
        starts = sorted({repr(window): window for window in windows}.items())

        def read(bounds: Bounds) -> int:
            found = (resolve(window, as_of=bounds.as_of, zone=bounds.zone) for _, window in starts)
            return min(_BEGINNING if one.start is None else micros(one.start) for one in found)

        return self.get(f"earliest:{[name for name, _ in starts]}", read)

    def matured(self, days: int) -> ir.IntegerScalar:
        return self.get(
            f"matured:{days}",
            lambda bounds: micros(matured_end(days, as_of=bounds.as_of, zone=bounds.zone)),
        )

    def given(self, name: str) -> ir.IntegerScalar:
        """A value that only the run knows, such as a frozen percentile cut."""
        return self.get(name, None)

    def fill(self, sql: str, bounds: Bounds, given: Mapping[str, int]) -> str:
        """The SQL with every parameter's value in place. Raises KeyError for a missing one."""
        for position in range(len(self._names) - 1, -1, -1):
            text = str(_SENTINEL + position)
            if text in sql:
                name = self._names[position]
                reader = self._readers.get(name)
                value = given[name] if reader is None else reader(bounds)
                sql = sql.replace(text, f"({int(value)})" if value < 0 else str(int(value)))
        return sql
