from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from segmentation.domain import facts_values as read
from segmentation.domain.facts_values import CellRefused

NEW_YORK = ZoneInfo("America/New_York")


def code_of(reader: Callable[[], object]) -> str:
    with pytest.raises(CellRefused) as refused:
        reader()
    assert refused.value.message.endswith(".")
    return refused.value.code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-01", datetime(2024, 7, 1, 4, tzinfo=UTC)),
        ("2024-07-01T10:00", datetime(2024, 7, 1, 14, tzinfo=UTC)),
        ("2024-07-01 10:00:01.5", datetime(2024, 7, 1, 14, 0, 1, 500_000, tzinfo=UTC)),
        ("2024-07-01t10:00:00z", datetime(2024, 7, 1, 10, tzinfo=UTC)),
        ("2024-07-01T10:00:00+08", datetime(2024, 7, 1, 2, tzinfo=UTC)),
        ("2024-07-01T10:00:00-0530", datetime(2024, 7, 1, 15, 30, tzinfo=UTC)),
        ("2024-12-31T23:59:59.9999999Z", datetime(2024, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("2024-11-03T01:30", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),  # the first of two
        ("9998-12-31", datetime(9998, 12, 31, 5, tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    assert read.read_time(text, zone=NEW_YORK) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2024-03-10T02:30", "nonexistent_time"),
        ("2024-02-30", "bad_time"),
        ("2024-01-01T24:00", "bad_time"),
        ("2024-01-01T10", "bad_time"),
        ("2024-01-01T10:00.5", "bad_time"),
        ("2024-W01-1", "bad_time"),
        ("20240101", "bad_time"),
        (" 2024-01-01", "bad_time"),
        ("2024-01-01\n", "bad_time"),
        ("1704067200", "bad_time"),
        ("9999-12-31T23:59:59", "out_of_range"),
        ("0000-01-01", "bad_time"),
        ("２０２４-01-01", "bad_time"),
    ],
)
def test_refused_times(text: str, code: str) -> None:
    assert code_of(lambda: read.read_time(text, zone=NEW_YORK)) == code


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("0", 2, "0"),
        ("12.50", 2, "12.5"),
        ("12.5000", 1, "12.5"),
        ("100.00", 0, "100"),
        ("007", 2, "7"),
        ("-0.00", 2, "0"),
        ("99999999999999.9999", 4, "99999999999999.9999"),
    ],
)
def test_amounts(text: str, decimals: int, expected: str) -> None:
    assert read.read_amount(text, decimals=decimals) == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1.234", "too_precise"),
        ("-0.01", "negative"),
        ("-1.234", "negative"),
        ("100000000000000", "out_of_range"),
        ("1e3", "bad_number"),
        ("1,000.00", "bad_number"),
        ("1.", "bad_number"),
        (".5", "bad_number"),
        ("+1", "bad_number"),
        (" 1", "bad_number"),
        ("¥1", "bad_number"),
        ("１", "bad_number"),
        ("nan", "bad_number"),
        ("--1", "bad_number"),
    ],
)
def test_refused_amounts(text: str, code: str) -> None:
    assert code_of(lambda: read.read_amount(text, decimals=2)) == code


def test_refunds_are_above_zero() -> None:
    assert code_of(lambda: read.read_amount("0.00", decimals=2, above_zero=True)) == "not_positive"


def test_rates() -> None:
    assert read.read_rate("7.12345678901234567891") == Decimal("7.12345678901234567891")
    assert code_of(lambda: read.read_rate("0")) == "bad_rate"
    assert code_of(lambda: read.read_rate("-1")) == "bad_rate"
    assert code_of(lambda: read.read_rate(f"1.{0:020d}1")) == "too_precise"
    assert code_of(lambda: read.read_rate("10000000000")) == "out_of_range"


def test_whole_numbers() -> None:
    assert read.read_whole("0012") == 12
    assert code_of(lambda: read.read_whole("1.0")) == "bad_whole_number"
    assert code_of(lambda: read.read_whole("-1")) == "bad_whole_number"
    assert code_of(lambda: read.read_whole("1" * 19)) == "out_of_range"


def test_small_types() -> None:
    assert read.read_boolean("true") is True
    assert read.read_boolean("false") is False
    assert [code_of(lambda t=t: read.read_boolean(t)) for t in ("True", "1", "yes")] == [
        "bad_boolean"
    ] * 3
    assert read.read_date("2024-02-29") == date(2024, 2, 29)
    assert code_of(lambda: read.read_date("2023-02-29")) == "bad_date"
    assert code_of(lambda: read.read_date("20240229")) == "bad_date"
    assert read.read_status("paid") == "paid"
    assert code_of(lambda: read.read_status("PAID")) == "unknown_status"
    assert read.read_currency("JPY") == "JPY"
    assert [code_of(lambda t=t: read.read_currency(t)) for t in ("cny", "XAU", "ABC")] == [
        "unknown_currency"
    ] * 3
    assert read.read_id(" A ") == " A "
    assert read.read_id("会" * 255) == "会" * 255
    assert code_of(lambda: read.read_id("会" * 256)) == "too_long"
    assert code_of(lambda: read.read_text("a\0")) == "nul_character"
    assert code_of(lambda: read.read_text("\ud800")) == "bad_text"


def test_properties_keep_their_digits() -> None:
    text = '{"a": 1.10, "b": "\\u00e9"}'
    assert read.read_properties(text) == text
    for bad in ("[]", "1", "{", '{"a": Infinity}', '{"a": 1e999}', '{"a": "\\udc00"}', "null"):
        assert code_of(lambda bad=bad: read.read_properties(bad)) == "bad_json"
    assert code_of(lambda: read.read_properties('{"\\u0000": 1}')) == "nul_character"
