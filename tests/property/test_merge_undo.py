"""Facts, a merge, more facts, an undo, under any of the ids: the owners are those of a world in
which nothing was merged. The control is a dictionary: a fact is of the id it was last sent under.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.clock import real_now
from membership.services.merging import merge_customers, undo_merge
from segmentation.models import Customer, Event, FactBatch, Order
from segmentation.services.importing import record_rows
from segmentation.services.merge_moves import Writer

pytestmark = pytest.mark.django_db
IDS = "ABC"
# (kind, number of the fact, id it is sent under, amount or hour)
SENT = st.tuples(
    st.sampled_from(["orders", "events"]), st.integers(1, 4), st.sampled_from(IDS),
    st.integers(1, 3),
)  # fmt: skip


def send(found: tuple[str, int, str, int]) -> None:
    kind, number, customer, value = found
    rows: dict[str, dict[str, object]] = {
        "orders": {"order_id": f"O{number}", "placed_at": "2026-01-20", "amount": str(value)},
        "events": {"event_id": f"E{number}", "name": "visit",
                   "occurred_at": f"2026-01-20T0{value}:00"},
    }  # fmt: skip
    record_rows(
        kind, [{**rows[kind], "customer_id": customer}], actor="till",
        zone=ZoneInfo("Asia/Shanghai"), base_currency="CNY", now=real_now(),
        recorded_at=datetime.now(UTC),
    )  # fmt: skip


def owners() -> dict[str, str]:
    found: dict[str, str] = {}
    for model in (Order, Event):
        rows: Any = model._default_manager.values_list("external_id", "customer__external_id")
        found |= dict(rows)
    return found


def writer() -> Writer:
    now = real_now()
    return Writer(FactBatch.Source.ADMIN, "tester", recorded_at=now, now=now)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=st.lists(SENT, max_size=5), since=st.lists(SENT, max_size=6), chain=st.booleans())
def test_owners_after_an_undo_are_those_of_a_world_without_the_merge(
    before: list[tuple[str, int, str, int]],
    since: list[tuple[str, int, str, int]],
    chain: bool,
) -> None:
    control = {f"{kind[0].upper()}{number}": who for kind, number, who, _ in [*before, *since]}
    with transaction.atomic():
        record_rows(
            "customers", [{"customer_id": name} for name in IDS], actor="till",
            zone=ZoneInfo("Asia/Shanghai"), base_currency="CNY", now=real_now(),
            recorded_at=datetime.now(UTC),
        )  # fmt: skip
        for each in before:
            send(each)
        keys = dict(Customer.objects.values_list("external_id", "pk"))
        merges = [merge_customers(keys["B"], keys["A"], reason="x", writer=writer())]
        if chain:
            merges.append(merge_customers(keys["C"], keys["B"], reason="x", writer=writer()))
        for each in since:
            send(each)
        stays = {"A": "C", "B": "C", "C": "C"} if chain else {"A": "B", "B": "B", "C": "C"}
        assert owners() == {fact: stays[who] for fact, who in control.items()}
        assert Customer.objects.count() == len(IDS)
        for merge in reversed(merges):
            undo_merge(merge.pk, reason="x", writer=writer())
        assert owners() == control
        assert not Customer.objects.filter(merged_into__isnull=False).exists()
        transaction.set_rollback(True)
