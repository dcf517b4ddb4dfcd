"""The timeline: all kinds together, newest first, paged without gap or repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from segmentation.models import Customer, Event, FactBatch, Order, Referral, Refund
from segmentation.queries.timeline import KINDS, Position, timeline

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def anna(db: None) -> Customer:
    """Ten happenings, five of them in the same instant."""
    batch = FactBatch.objects.create(kind="orders", source="import", recorded_at=NOON)
    anna, ben = (
        Customer.objects.create(batch=batch, external_id=name, ordinal=number)
        for number, name in enumerate(("anna", "ben"))
    )
    for number, person in enumerate((anna, anna, ben)):
        order = Order.objects.create(
            batch=batch, external_id=f"O{number}", customer=person, currency="CNY",
            amount=Decimal(10), placed_at=NOON - timedelta(days=number),
        )  # fmt: skip
        Refund.objects.create(
            batch=batch, external_id=f"R{number}", order=order, amount=Decimal(1), refunded_at=NOON
        )
        for index in range(2):
            Event.objects.create(
                batch=batch, external_id=f"E{number}{index}", customer=person, name="visit",
                occurred_at=NOON - timedelta(hours=number),
            )  # fmt: skip
    Referral.objects.create(
        batch=batch, external_id="F0", referrer=anna, referee=ben, occurred_at=NOON
    )
    Referral.objects.create(
        batch=batch, external_id="F1", referrer=ben, referee=anna,
        occurred_at=NOON - timedelta(microseconds=1),
    )  # fmt: skip
    return anna


ALL = ["O0", "R1", "R0", "E01", "E00", "F0", "F1", "E11", "E10", "O1"]


def test_the_newest_comes_first_and_equals_in_a_fixed_order(anna: Customer) -> None:
    page = timeline(anna, kinds=KINDS)
    assert [found.row.external_id for found in page.happenings] == ALL
    assert page.older is None


@pytest.mark.parametrize("size", range(1, 11))
def test_pages_follow_each_other_without_gap_or_repeat(anna: Customer, size: int) -> None:
    """Also where a page ends between happenings of one instant, of one kind or of two."""
    found: list[str] = []
    after: Position | None = None
    while True:
        page = timeline(anna, kinds=KINDS, after=after, size=size)
        assert len(page.happenings) <= size
        found += [happening.row.external_id for happening in page.happenings]
        if page.older is None:
            break
        after = Position.read(str(page.older))
        assert after == page.older
    assert found == ALL


def test_only_the_wanted_kinds(anna: Customer) -> None:
    page = timeline(anna, kinds=("event", "referral_received"), size=3)
    assert [found.row.external_id for found in page.happenings] == ["E01", "E00", "F1"]
    assert timeline(anna, kinds=()).happenings == ()


def test_one_query_a_kind_however_many_happenings(anna: Customer) -> None:
    with CaptureQueriesContext(connection) as queries:
        page = timeline(anna, kinds=KINDS)
        for found in page.happenings:
            if found.kind == "refund":
                assert found.row.order.external_id
            if found.kind == "referral_made":
                assert found.row.referee.external_id == "ben"
    assert len(queries) == len(KINDS)


@pytest.mark.parametrize(
    "text", ["", "x", "1_2", "1_2_3_4", "1_9_3", "1_-1_3", f"{10**30}_0_0", "1_0_x"]
)
def test_a_position_that_nobody_gave_out_is_none(text: str) -> None:
    assert Position.read(text) is None
