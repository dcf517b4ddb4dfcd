"""Metric documents to metrics."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from ..definitions import (
    Aggregate,
    FactMetric,
    FieldType,
    Filter,
    Fn,
    FormulaMetric,
    FormulaTerm,
    Label,
    Metric,
    Source,
    TimeField,
    Unit,
    Window,
)
from ..dependencies import Ref
from .entries import Use
from .fields import field_type, is_property, read_filter, read_type, refuse_field
from .place import Place

FNS = (
    "sum", "count", "count_distinct", "avg", "min", "max", "days_since_last", "days_since_first",
    "active_days", "share",
)  # fmt: skip
NUMERIC_FNS = ("sum", "avg", "min", "max", "share")
DAY_FNS = ("days_since_last", "days_since_first")
SOURCES = ("orders", "order_lines", "events", "referrals")
UNITS = ("money", "count", "days", "ratio")
VALUE_KINDS = ("activity", "referral", "history", "future", "margin")
TIMES = ("placed_at", "paid_at", "completed_at")
FACT_KEYS = (
    "source", "aggregate", "window", "time", "matured_days", "filter", "type",
)  # fmt: skip
COMMON_KEYS = ("key", "label", "unit", "value_kind", "retired")
MAX_DAYS = 36_500  # every limit of a window is a hundred years
MAX_OFFSETS = {"year": 100, "quarter": 400, "month": 1_200}
MAX_TERMS = 100


@dataclass(frozen=True, slots=True)
class _Common:
    label: Label
    unit: Unit
    value_kind: str | None


def read_metric(place: Place, key: str, uses: list[Use]) -> Metric | None:
    """The metric at `place`, or None after reporting every problem in it."""
    is_formula = isinstance(place.raw, dict) and "formula" in place.raw
    if is_formula:
        fields = place.fields((*COMMON_KEYS, "formula"), required=("unit", "formula"))
    else:
        known = (*COMMON_KEYS, *FACT_KEYS, "formula")
        fields = place.fields(known, required=("source", "aggregate", "window", "unit"))
    if fields is None:
        return None
    common = _read_common(fields, key)
    if is_formula:
        terms = _read_terms(fields["formula"], uses) if "formula" in fields else None
        if common is None or terms is None:
            return None
        return FormulaMetric(key, common.label, common.unit, terms, common.value_kind)
    return _read_fact_metric(place, fields, key, common)


def _read_common(fields: dict[str, Place], key: str) -> _Common | None:
    label = fields["label"].label() if "label" in fields else Label(key, key)
    unit = fields["unit"].choice(UNITS) if "unit" in fields else None
    kind = fields["value_kind"].choice(VALUE_KINDS) if "value_kind" in fields else None
    if label is None or unit is None or ("value_kind" in fields and kind is None):
        return None
    return _Common(label, cast(Unit, unit), kind)


def _read_fact_metric(
    place: Place, fields: dict[str, Place], key: str, common: _Common | None
) -> FactMetric | None:
    before = len(place.report.problems)
    window = read_window(fields["window"]) if "window" in fields else None
    source = fields["source"].choice(SOURCES) if "source" in fields else None
    matured = fields["matured_days"].integer(0, MAX_DAYS) if "matured_days" in fields else None
    time = fields["time"].choice(TIMES) if "time" in fields else "placed_at"
    if source is None:  # nothing else can be judged without it
        return None
    if "time" in fields and source not in ("orders", "order_lines"):
        fields["time"].refuse(
            "unknown_key", f'"time" is only for orders and order_lines; {source} have one time.'
        )
    property_type: FieldType = "text"
    if "type" in fields:
        if source != "events":
            fields["type"].refuse("unknown_key", '"type" is only for properties of events.')
        property_type = read_type(fields["type"]) or "text"
    aggregate = None
    if "aggregate" in fields:
        aggregate = _read_aggregate(fields["aggregate"], source, property_type)
    filter_: Filter | None = None
    if "filter" in fields:
        filter_ = read_filter(fields["filter"], source=source, property_type=property_type)
    if (
        len(place.report.problems) > before
        or window is None
        or time is None
        or aggregate is None
        or common is None
    ):
        return None
    metric = FactMetric(
        key=key,
        label=common.label,
        source=cast(Source, source),
        aggregate=aggregate,
        window=window,
        unit=common.unit,
        time=cast(TimeField, time),
        matured_days=matured,
        filter=filter_,
        value_kind=common.value_kind,
    )
    expected = expected_unit(metric)
    if expected is not None and expected != metric.unit:
        fields["unit"].warn(
            "unit_mismatch",
            f'"{key}" says unit {metric.unit}, but its values are {expected}; '
            "the unit decides how they are rounded when shown.",
        )
    return metric


def expected_unit(metric: FactMetric) -> Unit | None:
    """The unit that the aggregate gives; None when the definition alone can't tell."""
    fn = metric.aggregate.fn
    if fn in DAY_FNS:
        return "days"
    if fn == "share":
        return "ratio"
    if fn in ("count", "count_distinct"):
        return "count"
    if fn in NUMERIC_FNS and metric.aggregate.type == "money":
        return "money"
    return None


def _read_aggregate(place: Place, source: str, property_type: FieldType) -> Aggregate | None:
    known = ("fn", "field", "where", "type", "converted_within_days")
    fields = place.fields(known, required=("fn",))
    if fields is None or "fn" not in fields:
        return None
    before = len(place.report.problems)
    fn = fields["fn"].choice(FNS)
    if fn is None:
        return None
    if "type" in fields:
        property_type = read_type(fields["type"]) or property_type
    name, type_ = _read_field(place, fields, fn, source, property_type)
    where: Filter | None = None
    if fn == "share" and "where" not in fields:
        place.refuse("missing_key", '"where" is missing: it selects the part that is shared out.')
    elif fn != "share" and "where" in fields:
        fields["where"].refuse("unknown_key", '"where" is only for share; use "filter".')
    elif "where" in fields:
        where = read_filter(fields["where"], source=source, property_type=property_type)
    within = None
    if "converted_within_days" in fields:
        within = fields["converted_within_days"].integer(0, MAX_DAYS)
        if source != "referrals" or fn != "count":
            fields["converted_within_days"].refuse(
                "unknown_key", '"converted_within_days" is only for a count of referrals.'
            )
    if len(place.report.problems) > before:
        return None
    return Aggregate(cast(Fn, fn), name, type_, where, within)


def _read_field(
    place: Place, fields: dict[str, Place], fn: str, source: str, property_type: FieldType
) -> tuple[str | None, FieldType | None]:
    if fn not in NUMERIC_FNS and fn != "count_distinct":
        for key in ("field", "type"):
            if key in fields:
                fields[key].refuse("unknown_key", f'{fn} takes no "{key}"; leave it out.')
        return None, None
    if "field" not in fields:
        place.refuse("missing_key", f'"field" is missing: {fn} of which field?')
        return None, None
    name = fields["field"].text()
    if name is None:
        return None, None
    type_ = field_type(source, name, property_type=property_type)
    if type_ is None:
        refuse_field(fields["field"], source, name)
        return None, None
    if "type" in fields and not is_property(name):
        fields["type"].refuse("unknown_key", '"type" is only for properties of events.')
    if fn in NUMERIC_FNS and type_ not in ("money", "number"):
        remedy = ' Say "type: number" if it holds numbers.' if is_property(name) else ""
        fields["field"].refuse("wrong_type", f'{fn} needs numbers; "{name}" is {type_}.{remedy}')
        return None, None
    return name, type_


def read_window(place: Place) -> Window | None:
    """A window; exactly one of days, hours, months, calendar, all says its kind."""
    kinds = ("days", "hours", "months", "calendar", "all")
    fields = place.fields((*kinds, "to_now", "offset"))
    if fields is None:
        return None
    named = [kind for kind in kinds if kind in fields]
    if len(named) != 1:
        place.refuse("wrong_type", f"A window has exactly one of {', '.join(kinds)}.")
        return None
    kind = named[0]
    before = len(place.report.problems)
    count, offset = 0, 0
    calendar: str | None = None
    if kind == "calendar":
        calendar = fields[kind].choice(("year", "quarter", "month"))
    elif kind == "all":
        if fields[kind].boolean() is False:
            fields[kind].refuse("unknown_value", '"all" is only ever true.')
    else:
        highest = {"days": MAX_DAYS, "hours": MAX_DAYS * 24, "months": 1_200}[kind]
        count = fields[kind].integer(1, highest) or 0
    to_now = fields["to_now"].boolean() if "to_now" in fields else False
    if "to_now" in fields and kind not in ("days", "months"):
        fields["to_now"].refuse(
            "unknown_key", f'"to_now" is only for days and months; {kind} always reach the instant.'
        )
    if "offset" in fields:
        offset = fields["offset"].integer(-MAX_OFFSETS.get(calendar or "", 1_200), 0) or 0
        if kind != "calendar":
            fields["offset"].refuse("unknown_key", '"offset" is only for calendar windows.')
    if len(place.report.problems) > before or to_now is None:
        return None
    return Window(kind, count, to_now, calendar, offset)  # type: ignore[arg-type]  # checked above


def _read_terms(place: Place, uses: list[Use]) -> tuple[FormulaTerm, ...] | None:
    fields = place.fields(("sum",), required=("sum",))
    if fields is None or "sum" not in fields:
        return None
    items = fields["sum"].items(at_least=1)
    if items is None:
        return None
    if len(items) > MAX_TERMS:
        fields["sum"].refuse("out_of_range", f"More than {MAX_TERMS} terms.")
        return None
    terms = [_read_term(item, uses) for item in items]
    read = tuple(term for term in terms if term is not None)
    return read if len(read) == len(terms) else None


def _read_term(place: Place, uses: list[Use]) -> FormulaTerm | None:
    fields = place.fields(("metric", "times", "cap"), required=("metric",))
    if fields is None or "metric" not in fields:
        return None
    metric = fields["metric"].text()
    if metric is not None:
        uses.append(Use(place.path, Ref("metric", metric)))
    times = fields["times"].number() if "times" in fields else Decimal(1)
    cap = fields["cap"].number() if "cap" in fields else None
    if metric is None or times is None or ("cap" in fields and cap is None):
        return None
    return FormulaTerm(metric, times, cap)
