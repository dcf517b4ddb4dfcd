"""Random files against a model of a few dictionaries: counts, rejects, final state, versions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.models import Customer, CustomerTag, FactBatch, FactVersion, Order, Refund
from tests.fixtures.fact_files import Importer

pytestmark = pytest.mark.django_db
CENT = Decimal("0.01")

order_ids = st.sampled_from(["A", "B", "C"])
order_cells = {
    "discount": st.sampled_from(["", "1", "1.0", "0.5"]),
    "currency": st.sampled_from(["", "CNY", "USD", "JPY"]),
    "rate": st.sampled_from(["", "1", "7", "0.05"]),
    "status": st.sampled_from(["", "completed", "paid", "odd"]),
    "channel": st.sampled_from(["", "app"]),
}
order_rows = st.fixed_dictionaries(
    {
        "order_id": order_ids,
        "customer_id": st.sampled_from(["X", "Y", "Z", ""]),
        "placed_at": st.sampled_from(["2024-01-01", "2024-01-02"]),
        "amount": st.sampled_from(["1", "2", "2.00", "0.5", "0.001", "-1"]),
        **order_cells,
    }
)
order_files = st.lists(
    st.tuples(st.sets(st.sampled_from(sorted(order_cells))), st.lists(order_rows, max_size=7)),
    min_size=1,
    max_size=3,
)


class OrderModel:
    """What the contract says, one row after the other."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.known: list[str] = []

    def record(self, row: dict[str, str]) -> str:
        key = row["order_id"]
        old = self.stored.get(key)
        currency, rate = row.get("currency"), row.get("rate")
        if row["customer_id"] == "" or row.get("status") == "odd":
            return "rejected"
        kept = old["currency"] if old else "CNY"
        code = kept if currency is None else currency or "CNY"
        factor = Decimal(rate) if rate else None
        if rate is None and old is not None and old["currency"] == code:
            factor = old["rate"]
        if code == "CNY":
            if factor not in (None, 1):
                return "rejected"
            factor = None
        elif factor is None:
            return "rejected"
        decimals = 0 if code == "JPY" else 2
        new = {"customer": row["customer_id"], "placed": row["placed_at"], "currency": code,
               "rate": factor}  # fmt: skip
        for name in ("amount", "discount"):
            if name not in row:
                new[name] = old[name] if old else None
            elif row[name] == "":
                new[name] = None
            else:
                sent = Decimal(row[name])
                if sent < 0 or sent != round(sent, decimals):
                    return "rejected"
                new[name] = (sent * (factor or 1)).quantize(CENT, ROUND_HALF_UP)
        for name, default in (("status", "completed"), ("channel", None)):
            if name in row:
                new[name] = row[name] or default
            else:
                new[name] = old[name] if old else default
        self.stored[key] = new
        if row["customer_id"] not in self.known:
            self.known.append(row["customer_id"])
        return "inserted" if old is None else "unchanged" if old == new else "updated"


def counts_of(outcomes: list[str]) -> tuple[int, ...]:
    return tuple(outcomes.count(o) for o in ("inserted", "unchanged", "updated", "rejected"))


def in_rolled_back_transaction(check: Callable[[Importer], None]) -> None:
    with tempfile.TemporaryDirectory() as folder, transaction.atomic():
        check(Importer(Path(folder)))
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        transaction.set_rollback(True)


def check_batches(*models: Any) -> None:
    """Every row has a batch of its kind, and no batch exists for which nothing was written."""
    for batch in FactBatch.objects.all():
        assert batch.read == batch.inserted + batch.unchanged + batch.updated + batch.rejected
        assert batch.inserted + batch.updated > 0
    for kind, model in models:
        used = set(model.objects.values_list("batch__kind", flat=True))
        assert used <= {kind}


@settings(max_examples=30, deadline=None)
@given(order_files)
def test_orders(files: list[tuple[set[str], list[dict[str, str]]]]) -> None:
    def check(importer: Importer) -> None:
        model = OrderModel()
        versions = 0
        for absent, rows in files:
            header = [name for name in rows[0] if name not in absent] if rows else ["order_id"]
            if not rows:
                header += ["customer_id", "placed_at", "amount"]
            kept = [{name: row[name] for name in header} for row in rows]
            before = {key: dict(value) for key, value in model.stored.items()}
            outcomes = [model.record(row) for row in kept]
            result = importer.rows("orders", " ".join(header), [list(r.values()) for r in kept])
            assert result.counts == counts_of(outcomes), (outcomes, result.rejects)
            assert [line for line, _ in result.rejects] == [
                line for line, outcome in enumerate(outcomes, 2) if outcome == "rejected"
            ]
            versions += sum(model.stored[key] != value for key, value in before.items())
        fields = ("customer__external_id", "currency", "rate", "amount", "discount", "status",
                  "channel")  # fmt: skip
        found = {row[0]: row[1:] for row in Order.objects.values_list("external_id", *fields)}
        names = ("customer", "currency", "rate", "amount", "discount", "status", "channel")
        assert found == {
            key: tuple(value[name] for name in names) for key, value in model.stored.items()
        }
        customers = Customer.objects.order_by("ordinal")
        assert list(customers.values_list("ordinal", flat=True)) == list(range(len(model.known)))
        assert list(customers.values_list("external_id", flat=True)) == model.known
        assert FactVersion.objects.count() == versions
        check_batches(("orders", Order), ("customers", Customer))

    in_rolled_back_transaction(check)


refund_rows = st.tuples(
    st.sampled_from(["R1", "R2", "R3"]),
    st.sampled_from(["A", "B", "U", "no"]),
    st.sampled_from(["2024-02-01", "2024-02-02"]),
    st.sampled_from(["1", "2", "3.34", "5", "6.66", "10", "10.01", "0"]),
    st.sampled_from(["", "", "1", "2"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(refund_rows, max_size=7), min_size=1, max_size=3))
def test_refunds(files: list[list[tuple[str, ...]]]) -> None:
    """R08: partial refunds add up to the whole and never to more, in any currency."""
    orders = {"A": Decimal(10), "B": Decimal(7), "U": Decimal(10)}
    lines = {("A", "1"): Decimal(4), ("U", "1"): Decimal(5)}
    stored: dict[str, tuple[str, ...]] = {}

    def record(row: tuple[str, ...]) -> str:
        key, order, _, text, line = row
        amount = Decimal(text)
        old = stored.get(key)
        if order not in orders or amount <= 0:
            return "rejected"
        others = [other for name, other in stored.items() if name != key and other[1] == order]
        in_line = [other for other in others if other[4] == line]
        shrinks = (
            old is not None and (old[1], old[4]) == (order, line) and amount <= Decimal(old[3])
        )
        if not shrinks:
            if sum((Decimal(o[3]) for o in others), amount) > orders[order]:
                return "rejected"
            if sum((Decimal(o[3]) for o in in_line), amount) > lines.get((order, line), 99):
                return "rejected"
        stored[key] = row
        return "inserted" if old is None else "unchanged" if old == row else "updated"

    def check(importer: Importer) -> None:
        importer.rows(
            "orders",
            "order_id customer_id placed_at amount currency rate",
            [("A", "X", "2024-01-01", "10", "", ""), ("B", "X", "2024-01-01", "7", "", ""),
             ("U", "X", "2024-01-01", "10", "USD", "7.12345")],
        )  # fmt: skip
        importer.rows(
            "order_lines",
            "order_id line_no sku amount",
            [("A", "1", "S", "4"), ("U", "1", "S", "5")],
        )
        for rows in files:
            outcomes = [record(row) for row in rows]
            result = importer.rows("refunds", "refund_id order_id refunded_at amount line_no", rows)
            assert result.counts == counts_of(outcomes), (rows, outcomes, result.rejects)
        factor = {"A": 1, "B": 1, "U": Decimal("7.12345")}
        assert {
            (r.external_id, r.order.external_id, r.line_no, r.amount)
            for r in Refund.objects.select_related("order")
        } == {
            (key, order, int(line) if line else None,
             (Decimal(text) * factor[order]).quantize(CENT, ROUND_HALF_UP))
            for key, (_, order, _, text, line) in stored.items()
        }  # fmt: skip
        check_batches(("refunds", Refund))

    in_rolled_back_transaction(check)


tag_rows = st.tuples(
    st.sampled_from(["X", "Y"]),
    st.sampled_from(["tier", "likes"]),
    st.sampled_from(["a", "b", "c", "bad"]),
    st.sampled_from(["", "2030-06-01", "2031-06-01"]),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(tag_rows, max_size=7), min_size=1, max_size=3))
def test_tags(files: list[list[tuple[str, ...]]]) -> None:
    from segmentation.models import TagGroup

    state: dict[tuple[str, str, str], str | None] = {}  # None: removed
    ever: set[tuple[str, str, str]] = set()

    def record(row: tuple[str, ...]) -> str:
        customer, group, value, expires = row
        if value == "bad":
            return "rejected"
        key = (customer, group, value)
        old = state.get(key)
        known = key in ever
        if group == "tier":
            for other in list(state):
                if other[:2] == key[:2] and other != key:
                    state[other] = None
        state[key] = expires
        ever.add(key)
        return "inserted" if not known else "unchanged" if old == expires else "updated"

    def check(importer: Importer) -> None:
        for key, exclusive in (("tier", True), ("likes", False)):
            TagGroup.objects.create(
                key=key,
                label_en=key,
                label_zh_hans=key,
                document={"group": key, "exclusive": exclusive, "values": ["a", "b", "c"]},
            )
        for rows in files:
            kept = set(ever)
            outcomes = [record(row) for row in rows]
            result = importer.rows("tags", "customer_id group value expires_at", rows)
            assert result.counts == counts_of(outcomes), (rows, outcomes, result.rejects)
            # What came and went within one file was never there.
            ever.intersection_update(kept | {key for key, end in state.items() if end is not None})
        live = CustomerTag.objects.filter(is_removed=False)
        assert {
            (t.customer.external_id, t.group, t.value, str(t.expires_at or "")[:4])
            for t in live.select_related("customer")
        } == {(*key, expires[:4]) for key, expires in state.items() if expires is not None}
        check_batches(("tags", CustomerTag), ("customers", Customer))

    in_rolled_back_transaction(check)
