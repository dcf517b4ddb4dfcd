"""What a condition of an alert rule is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Watched:
    """What a condition is judged by. `now` is the real clock's, `project_now` the project's.

    `since`: from when on somebody has been watching without a break. What did not happen while
    everything was switched off gets its time from then on. `memory` outlives the look: a condition
    may keep figures there that don't change any more.
    """

    thresholds: Mapping[str, int]
    now: datetime
    project_now: datetime
    zone: ZoneInfo
    since: datetime
    checked_at: datetime | None
    memory: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what it is about, and what the words need."""

    subject: str
    parameters: dict[str, Any]


Findings = tuple[Finding, ...]
