from __future__ import annotations

import pytest

from segmentation.domain.facts import (
    FACT_KINDS,
    STORED_REASONS,
    ImportedGroup,
    header_problems,
)

GROUPS = {
    "tier": ImportedGroup("tier", True, frozenset({"a"})),
    "rule": ImportedGroup("rule", True, frozenset(), is_derived=True),
}
REQUIRED = {
    "customers": ("customer_id",),
    "orders": ("order_id", "customer_id", "placed_at", "amount"),
    "order_lines": ("order_id", "line_no", "sku", "amount"),
    "refunds": ("refund_id", "order_id", "refunded_at", "amount"),
    "events": ("event_id", "customer_id", "name", "occurred_at"),
    "referrals": ("referral_id", "referrer_id", "referee_id", "occurred_at"),
    "tags": ("customer_id", "group", "value"),
}


def codes(header: list[str], *, kind: str) -> list[tuple[str, str]]:
    problems = header_problems(header, kind=FACT_KINDS[kind], groups=GROUPS)
    return [(problem.path, problem.code) for problem in problems]


def test_required_columns_of_every_kind() -> None:
    assert {
        name: tuple(column.name for column in kind.columns if column.required)
        for name, kind in FACT_KINDS.items()
    } == REQUIRED


@pytest.mark.parametrize("kind", list(REQUIRED))
def test_a_full_header_is_right(kind: str) -> None:
    assert codes([column.name for column in FACT_KINDS[kind].columns], kind=kind) == []
    assert codes([], kind=kind) == [(f"/columns/{n}", "missing_column") for n in REQUIRED[kind]]


def test_all_problems_at_once() -> None:
    header = ["order_id", "order_id", "Amount", "a/b~c", "tag:tier", "", "placed_at"]
    assert codes(header, kind="orders") == [
        ("/columns/order_id", "duplicate_column"),
        ("/columns/Amount", "unknown_column"),
        ("/columns/a~1b~0c", "unknown_column"),
        ("/columns/tag:tier", "unknown_column"),
        ("/columns/", "unknown_column"),
        ("/columns/customer_id", "missing_column"),
        ("/columns/amount", "missing_column"),
    ]


def test_tag_columns_of_customers() -> None:
    header = ["customer_id", "tag:tier", "tag:rule", "tag:other", "tag:"]
    assert codes(header, kind="customers") == [
        ("/columns/tag:rule", "derived_group"),
        ("/columns/tag:other", "unknown_group"),
        ("/columns/tag:", "unknown_group"),
    ]


def test_every_stored_reason_is_a_sentence() -> None:
    assert all(sentence.endswith(".") for sentence in STORED_REASONS.values())
