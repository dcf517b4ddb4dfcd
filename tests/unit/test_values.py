"""Rounding happens once, half-up, and only to be shown."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from segmentation.domain.definitions import Unit
from segmentation.domain.values import currency_decimals, quantise, shown


@pytest.mark.parametrize(
    ("code", "decimals"), [("CNY", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("BHD", 3), ("CLF", 4)]
)
def test_minor_units(code: str, decimals: int) -> None:
    assert currency_decimals(code) == decimals


@pytest.mark.parametrize("code", ["XAU", "XXX", "ZZZ", "cny", ""])
def test_no_currency_with_minor_unit(code: str) -> None:
    with pytest.raises(ValueError, match="no ISO 4217 currency"):
        currency_decimals(code)


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (Fraction(1, 2), 0, "1"),
        (Fraction(-1, 2), 0, "-1"),
        (Fraction(3, 2), 0, "2"),
        (Fraction(5, 2), 0, "3"),
        (Fraction(1, 3), 2, "0.33"),
        (Fraction(2, 3), 2, "0.67"),
        (Fraction(1, 200), 2, "0.01"),
        (Fraction(-1, 200), 2, "-0.01"),
        (Fraction(-1, 201), 2, "0.00"),
        (Fraction(10**40 + 1, 3), 2, "3333333333333333333333333333333333333333.67"),
    ],
)
def test_half_up_away_from_zero(value: Fraction, decimals: int, expected: str) -> None:
    found = quantise(value, decimals)
    assert isinstance(found, Decimal)
    assert format(found, "f") == expected


@pytest.mark.parametrize(
    ("value", "unit", "currency", "expected"),
    [
        (Fraction(200), "money", "CNY", "200.00"),
        (Fraction(1, 3), "money", "JPY", "0"),
        (Fraction(1, 3), "money", "KWD", "0.333"),
        (Fraction(12), "count", "CNY", "12"),
        (Fraction(5, 2), "count", "CNY", "3"),
        (Fraction(0), "days", "CNY", "0"),
        (Fraction(2, 3), "ratio", "CNY", "0.666667"),
        (Fraction(1), "ratio", "CNY", "1.000000"),
        (None, "money", "CNY", None),
    ],
)
def test_shown(value: Fraction | None, unit: Unit, currency: str, expected: str | None) -> None:
    assert shown(value, unit=unit, currency=currency) == expected
