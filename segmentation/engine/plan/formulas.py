"""Formulas: exact sums of scaled terms, as one integer or as a numerator over a denominator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import lcm

import ibis
import ibis.expr.types as ir

from segmentation.domain.definitions import FactMetric, FormulaMetric, FormulaTerm, Metric

from .metrics import denominator, numerator, scale_of
from .tables import integer, wide


@dataclass(frozen=True, slots=True)
class Shape:
    """How a metric's exact value lies in its columns: numerator / (denominator * scale)."""

    scale: int
    is_fraction: bool


def metric_shapes(metrics: Mapping[str, Metric]) -> dict[str, Shape]:
    """The shape of every metric, formulas included."""
    shapes: dict[str, Shape] = {}

    def shape(key: str) -> Shape:
        if key not in shapes:
            metric = metrics[key]
            if isinstance(metric, FactMetric):
                shapes[key] = Shape(scale_of(metric), metric.is_fraction)
            else:
                parts = [shape(term.metric) for term in metric.terms]
                shapes[key] = Shape(
                    _common_scale(metric.terms, parts), any(part.is_fraction for part in parts)
                )
        return shapes[key]

    for key in metrics:
        shape(key)
    return shapes


def formula_columns(
    table: ir.Table, metric: FormulaMetric, shapes: Mapping[str, Shape]
) -> dict[str, ir.Value]:
    """The columns of a formula over a table that already has its terms' columns.

    A missing term adds nothing; with all of them missing the value is missing. At most two terms
    are fractions (checked when the definition is read), so that products fit 38 digits.
    """
    scale = shapes[metric.key].scale
    whole: list[ir.Value] = []
    fractions: list[tuple[ir.Value, ir.Value]] = []
    present: list[ir.BooleanValue] = []
    for term in metric.terms:
        shape = shapes[term.metric]
        column = table[numerator(term.metric)]
        factor = Fraction(term.times) * scale / shape.scale
        product = wide(column) * wide(integer(int(factor)))
        cap = None if term.cap is None else int(Fraction(term.cap) * scale)
        if shape.is_fraction:
            below = table[denominator(term.metric)]
            present.append(below.notnull())
            fractions.append(_capped_fraction(product, wide(below), cap))
        else:
            present.append(column.notnull())
            if cap is not None:
                product = ibis.ifelse(product > wide(integer(cap)), wide(integer(cap)), product)
            whole.append(product.fill_null(wide(integer(0))))
    any_present = reduce(lambda a, b: a | b, present)
    total = reduce(lambda a, b: a + b, whole, wide(integer(0)))
    if not fractions:
        return {numerator(metric.key): ibis.ifelse(any_present, total, ibis.null(total.type()))}
    top, below = total, wide(integer(1))
    for part, divisor in fractions:
        top = top * divisor + part * below
        below = below * divisor
    missing = ibis.null(below.type())
    return {
        numerator(metric.key): ibis.ifelse(any_present, top, missing),
        denominator(metric.key): ibis.ifelse(any_present, below, missing),
    }


def _capped_fraction(top: ir.Value, below: ir.Value, cap: int | None) -> tuple[ir.Value, ir.Value]:
    """A term over its divisor; nothing is 0 over 1."""
    zero, one = wide(integer(0)), wide(integer(1))
    if cap is not None:
        above = top > wide(integer(cap)) * below
        top, below = (
            ibis.ifelse(above, wide(integer(cap)), top),
            ibis.ifelse(above, one, below),
        )
    return top.fill_null(zero), below.fill_null(one)


def _common_scale(terms: Sequence[FormulaTerm], parts: Sequence[Shape]) -> int:
    scales = [
        (Fraction(term.times) / part.scale).denominator
        for term, part in zip(terms, parts, strict=True)
    ]
    caps = [Fraction(term.cap).denominator for term in terms if term.cap is not None]
    return lcm(*scales, *caps, 1)
