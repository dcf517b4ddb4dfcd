"""Personal data and keys never reach a log line."""

from __future__ import annotations

import pytest

from config.logging import mask_personal, masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail to wang.li+x@example.com.cn failed", "mail to *** failed"),
        ("call 13812345678 now", "call *** now"),
        ("call +86 13812345678", "call ***"),
        ("call +44 20 7946 0958.", "call ***."),
        ("Authorization: Bearer abcd1234.ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", "Bearer ***"),
        ("key abcd1234.ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", "key ***"),
        ("amqp://user:hunter2@host:5672//", "amqp://user:***@host:5672//"),
    ],
)
def test_masked(text: str, expected: str) -> None:
    found = masked(text)
    assert found.endswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        "run 20180101 took 12.5 s",
        "order 138123456789012 of 2018-01-01T00:00:00+00:00",
        "amount 13812345678.50",
        "segment lapsing_high_value",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert masked(text) == text


def test_values_by_name() -> None:
    event = {
        "event": "imported",
        "phone": "12345",
        "row": {"email": "x", "city": "上海", "api_key": "k", "count": 3},
        "list": ["a@b.cn", "plain"],
    }
    assert mask_personal(None, "info", event) == {
        "event": "imported",
        "phone": "***",
        "row": {"email": "***", "city": "上海", "api_key": "***", "count": 3},
        "list": ["***", "plain"],
    }
