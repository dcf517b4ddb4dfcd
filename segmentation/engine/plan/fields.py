"""Which fields of facts the definitions read."""

from __future__ import annotations

from collections.abc import Iterable

from segmentation.domain.definitions import (
    FactMetric,
    FieldTest,
    Filter,
    FilterAll,
    FilterAny,
    FilterNot,
    Metric,
)

_PREFIX = "properties."


def property_keys(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The keys of `properties` in any field or filter, sorted."""
    found: set[str] = set()
    for metric in metrics:
        if isinstance(metric, FactMetric):
            fields = fields_of(metric)
            found |= {field.removeprefix(_PREFIX) for field in fields if field.startswith(_PREFIX)}
    return tuple(sorted(found))


def fields_of(metric: FactMetric) -> set[str]:
    """What a metric aggregates, with the fields of its filters."""
    aggregate = metric.aggregate
    return {str(aggregate.field)} | _fields(metric.filter) | _fields(aggregate.where)


def _fields(test: Filter | None) -> set[str]:
    match test:
        case None:
            return set()
        case FieldTest():
            return {test.field}
        case FilterNot(child):
            return _fields(child)
        case FilterAll(children) | FilterAny(children):
            return {field for child in children for field in _fields(child)}
