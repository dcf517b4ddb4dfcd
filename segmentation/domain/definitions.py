"""What operators define, as frozen data: tag groups, metrics, layerings, segments.

These are the normalised forms of the definitions document (contract, section 3). Reading and
validating a document is `reading.py`'s work; here are only values that are already valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from .rules import Cmp, Node, Value

Source = Literal["orders", "order_lines", "events", "referrals"]
Fn = Literal[
    "sum", "count", "count_distinct", "avg", "min", "max", "days_since_last", "days_since_first",
    "active_days", "share",
]  # fmt: skip
Unit = Literal["money", "count", "days", "ratio"]
FieldType = Literal["money", "number", "text", "boolean"]
TimeField = Literal["placed_at", "paid_at", "completed_at"]


@dataclass(frozen=True, slots=True)
class Label:
    """A name in both languages of the interface."""

    en: str
    zh_hans: str


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time relative to the as-of instant; `windows.resolve` gives its two ends.

    `kind` days, months (with or without `to_now`) and hours use `count`; calendar uses `calendar`
    and `offset` (0 or negative); all uses nothing.
    """

    kind: Literal["days", "hours", "months", "calendar", "all"]
    count: int = 0
    to_now: bool = False
    calendar: Literal["year", "quarter", "month"] | None = None
    offset: int = 0

    @property
    def reaches_as_of(self) -> bool:
        """Whether it ends at the as-of instant; others end before."""
        if self.kind in ("days", "months"):
            return self.to_now
        return self.kind != "calendar" or self.offset == 0


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One comparison on a field of a source; a missing field is false, except `is_not_set`."""

    field: str  # as written, e.g. "channel" or "properties.page"
    type: FieldType
    cmp: Cmp
    value: Value  # boolean fields: bool; money and number: Decimal; text: str or tuple


@dataclass(frozen=True, slots=True)
class FilterAll:
    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class FilterAny:
    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class FilterNot:
    child: Filter


Filter = FilterAll | FilterAny | FilterNot | FieldTest


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How the facts in the window become one value.

    `field` (with its `type`) is None for count, active_days and days_since_*. `where` selects the
    numerator of a share. `converted_within_days` turns a count of referrals into a count of
    distinct referees who became buyers in time.
    """

    fn: Fn
    field: str | None = None
    type: FieldType | None = None
    where: Filter | None = None
    converted_within_days: int | None = None


@dataclass(frozen=True, slots=True)
class FactMetric:
    key: str
    label: Label
    source: Source
    aggregate: Aggregate
    window: Window
    unit: Unit
    time: TimeField = "placed_at"  # events and referrals always use occurred_at
    matured_days: int | None = None
    filter: Filter | None = None
    value_kind: str | None = None

    @property
    def is_fraction(self) -> bool:
        """Whether the exact value is a numerator over a denominator."""
        return self.aggregate.fn in ("avg", "share")


@dataclass(frozen=True, slots=True)
class FormulaTerm:
    """`min(metric * times, cap)`; adds nothing when the metric is missing."""

    metric: str
    times: Decimal
    cap: Decimal | None = None


@dataclass(frozen=True, slots=True)
class FormulaMetric:
    """The sum of its terms; missing when every term's metric is missing."""

    key: str
    label: Label
    unit: Unit
    terms: tuple[FormulaTerm, ...]
    value_kind: str | None = None


Metric = FactMetric | FormulaMetric


@dataclass(frozen=True, slots=True)
class TagRule:
    value: str
    rule: Node


@dataclass(frozen=True, slots=True)
class TagGroup:
    """A dimension. With `rules` its values are derived and can't be imported or set by hand."""

    key: str
    label: Label
    exclusive: bool
    values: tuple[str, ...]  # of a rule group: the rules' values, in order, without repeats
    sensitive: bool = False
    public: bool = False
    rules: tuple[TagRule, ...] = ()

    @property
    def is_derived(self) -> bool:
        return bool(self.rules)


@dataclass(frozen=True, slots=True)
class Layering:
    """Exclusive ordered groups cut on one metric: one more layer than cuts, lowest first.

    Either `cuts` (values in the metric's unit) or `percentiles` (0 <= p <= 100) is filled.
    """

    key: str
    label: Label
    metric: str
    layers: tuple[str, ...]
    cuts: tuple[Decimal, ...] = ()
    percentiles: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    key: str
    label: Label
    purpose: Literal["retention", "acquisition", "promotion", "service", "research"]
    visibility: Literal["hidden", "internal"]
    rule: Node


@dataclass(frozen=True, slots=True)
class Catalog:
    """All current definitions of the segmentation side, by key, in a stable order."""

    tag_groups: Mapping[str, TagGroup] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    layerings: Mapping[str, Layering] = field(default_factory=dict)
    segments: Mapping[str, Segment] = field(default_factory=dict)
