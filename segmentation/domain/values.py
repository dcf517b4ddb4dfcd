"""How exact values are rounded and shown. Only here does a fraction become a decimal."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import get_args

from iso4217 import Currency

from .definitions import Unit

RATIO_DECIMALS = 6
_MOST_DECIMALS = 4  # what stored amounts have room for


def currency_decimals(code: str) -> int:
    """The minor-unit digits of an ISO 4217 currency: CNY 2, JPY 0, KWD 3.

    Raises ValueError for a code the standard does not list or gives no minor unit (gold, funds).
    """
    try:
        exponent = Currency(code).exponent
    except ValueError:
        exponent = None
    if exponent is None or exponent > _MOST_DECIMALS:
        raise ValueError(f"{code} is no ISO 4217 currency with a minor unit")
    return int(exponent)


def quantise(value: Fraction, decimals: int) -> Decimal:
    """`value` rounded half-up (halves away from zero) to that many decimals, exactly."""
    scaled = abs(value) * 10**decimals
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    digits = tuple(int(digit) for digit in str(whole))
    # Built from digits: arithmetic would round to the context's precision.
    return Decimal((1 if value < 0 and whole else 0, digits, -decimals))


def shown(value: Fraction | None, *, unit: Unit, currency: str) -> str | None:
    """The text of a metric's value: money with the currency's decimals, count and days whole,
    ratio with 6 decimals; None stays None."""
    if value is None:
        return None
    match unit:
        case "money":
            decimals = currency_decimals(currency)
        case "ratio":
            decimals = RATIO_DECIMALS
        case _:
            if unit not in get_args(Unit):
                raise ValueError(f"unknown unit {unit}")
            decimals = 0
    return format(quantise(value, decimals), "f")
