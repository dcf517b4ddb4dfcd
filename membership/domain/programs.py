"""Public tier programs as frozen data (contract, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from segmentation.domain.definitions import Label
from segmentation.domain.rules import Node


@dataclass(frozen=True, slots=True)
class Term:
    """A length of time in whole calendar steps of the program's zone; month arithmetic clamps."""

    years: int = 0
    months: int = 0
    days: int = 0


@dataclass(frozen=True, slots=True)
class Tier:
    key: str
    rank: int  # 1 is the lowest
    label: Label
    rule: Node


@dataclass(frozen=True, slots=True)
class ProgramVersion:
    """An immutable, dated set of tiers (lowest rank first) and lifecycle rules.

    `keep_for` None: a tier is held for good. `grace` is 0 days when left out.
    """

    number: int
    effective_from: date
    tiers: tuple[Tier, ...]
    keep_for: Term | None = None
    grace: Term = Term()
    downgrade: Literal["one_level", "by_value"] = "one_level"
    period: Literal["rolling"] = "rolling"
    upgrade: Literal["immediate"] = "immediate"


@dataclass(frozen=True, slots=True)
class Program:
    key: str
    label: Label
    timezone: str
    versions: tuple[ProgramVersion, ...]  # by number, rising
