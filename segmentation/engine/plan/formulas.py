"""Formulas: exact sums of scaled terms, as one integer or as a numerator over a denominator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import lcm
from operator import add, mul, or_

import ibis
import ibis.expr.types as ir

from segmentation.domain.definitions import FactMetric, FormulaMetric, FormulaTerm, Metric

from .metrics import denominator, numerator, scale_of
from .tables import fold, integer, wide


@dataclass(frozen=True, slots=True)
class Shape:
    """How a metric's exact value lies in its columns: numerator / (denominator * scale).

    `divisors` are the averages and shares it is made of; its denominator is the product of theirs.
    """

    scale: int
    divisors: tuple[str, ...] = ()

    @property
    def is_fraction(self) -> bool:
        """Whether there is a denominator column."""
        return bool(self.divisors)


def metric_shapes(metrics: Mapping[str, Metric]) -> dict[str, Shape]:
    """The shape of every metric, formulas included."""
    shapes: dict[str, Shape] = {}

    def shape(key: str) -> Shape:
        if key not in shapes:
            metric = metrics[key]
            if isinstance(metric, FactMetric):
                shapes[key] = Shape(scale_of(metric), (key,) if metric.is_fraction else ())
            else:
                parts = [shape(term.metric) for term in metric.terms]
                divisors = dict.fromkeys(name for part in parts for name in part.divisors)
                shapes[key] = Shape(_common_scale(metric.terms, parts), tuple(divisors))
        return shapes[key]

    for key in metrics:
        shape(key)
    return shapes


def formula_columns(
    table: ir.Table, metric: FormulaMetric, shapes: Mapping[str, Shape]
) -> dict[str, ir.Value]:
    """The columns of a formula over a table that already has its terms' columns.

    A missing term adds nothing; with all of them missing the value is missing. A formula is made
    of at most two averages or shares (checked when the definition is read), however often it names
    them, and each divides the sum once, so that products fit 38 digits.
    """
    shape = shapes[metric.key]
    zero, one = wide(integer(0)), wide(integer(1))
    divisors = {key: wide(table[denominator(key)]).fill_null(one) for key in shape.divisors}
    parts: list[ir.Value] = []
    present: list[ir.BooleanValue] = []
    for term in metric.terms:
        part = shapes[term.metric]
        deciding = denominator if part.is_fraction else numerator
        is_present = table[deciding(term.metric)].notnull()
        factor = Fraction(term.times) * shape.scale / part.scale
        value = wide(table[numerator(term.metric)]) * wide(integer(int(factor)))
        if term.cap is not None:
            below = reduce(mul, (divisors[key] for key in part.divisors), one)
            cap = wide(integer(int(Fraction(term.cap) * shape.scale))) * below
            value = ibis.ifelse(value > cap, cap, value)
        others = (divisors[key] for key in shape.divisors if key not in part.divisors)
        parts.append(reduce(mul, others, ibis.ifelse(is_present, value, zero)))
        present.append(is_present)
    total = fold(parts, add, zero)
    any_present = fold(present, or_, ibis.literal(False))
    columns = {numerator(metric.key): ibis.ifelse(any_present, total, ibis.null(total.type()))}
    if divisors:
        whole = reduce(mul, divisors.values())
        columns[denominator(metric.key)] = ibis.ifelse(any_present, whole, ibis.null(whole.type()))
    return columns


def _common_scale(terms: Sequence[FormulaTerm], parts: Sequence[Shape]) -> int:
    scales = [
        (Fraction(term.times) / part.scale).denominator
        for term, part in zip(terms, parts, strict=True)
    ]
    caps = [Fraction(term.cap).denominator for term in terms if term.cap is not None]
    return lcm(*scales, *caps, 1)
