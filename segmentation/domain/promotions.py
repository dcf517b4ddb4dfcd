"""The promotion calendar as values: which day of which promotion a day is, and what it compares to.

Days are whole local days; first and last day of a promotion are included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Promotion:
    """One promotion. `kind` is what comes again; the `after_days` behind `ends_on` belong to it."""

    key: str
    kind: str
    starts_on: date
    ends_on: date
    after_days: int = 0

    @property
    def over_on(self) -> date:
        """The last day of its after-effect."""
        return self.ends_on + timedelta(days=self.after_days)


@dataclass(frozen=True, slots=True)
class Phase:
    """Day `number` (0: the first) of a promotion, or of its after-effect."""

    promotion: Promotion
    is_after: bool
    number: int


def phase_on(day: date, promotions: Iterable[Promotion]) -> Phase | None:
    """What a day is part of: a promotion before another's after-effect, then the newest."""
    found: list[Phase] = []
    for promotion in promotions:
        if promotion.starts_on <= day <= promotion.ends_on:
            found.append(Phase(promotion, False, (day - promotion.starts_on).days))
        elif promotion.ends_on < day <= promotion.over_on:
            found.append(Phase(promotion, True, (day - promotion.ends_on).days - 1))
    return max(
        found,
        key=lambda phase: (not phase.is_after, phase.promotion.starts_on, phase.promotion.key),
        default=None,
    )


def same_phase_before(
    phase: Phase, promotions: Iterable[Promotion]
) -> tuple[Promotion, date] | None:
    """The last earlier promotion of the kind and its day of the same number, at most its last one.

    None: there was none, or it had no after-effect.
    """
    ours = phase.promotion
    earlier = [
        each for each in promotions if each.kind == ours.kind and each.ends_on < ours.starts_on
    ]
    last = max(earlier, key=lambda each: each.starts_on, default=None)
    if last is None or (phase.is_after and not last.after_days):
        return None
    if phase.is_after:
        return last, min(last.ends_on + timedelta(days=phase.number + 1), last.over_on)
    return last, min(last.starts_on + timedelta(days=phase.number), last.ends_on)
