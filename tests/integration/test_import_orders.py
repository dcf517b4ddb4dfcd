"""Orders and what goes with them, from files: counts, rejects, versions, money."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from segmentation.models import Customer, FactBatch, FactVersion, Order, OrderLine, Refund
from tests.fixtures.fact_files import Importer

pytestmark = pytest.mark.django_db
BASIC = "order_id customer_id placed_at amount"


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


def test_new_orders_create_stubs_in_order_with_dense_ordinals(importer: Importer) -> None:
    rows = [("O1", "C2", "2024-05-01", "10"), ("O2", "C1", "2024-05-01T08:30:00", "10.50"),
            ("O3", "C2", "2024-05-01T00:30:00Z", "0")]  # fmt: skip
    assert importer.rows("orders", BASIC, rows).counts == (3, 0, 0, 0)
    assert list(Customer.objects.order_by("ordinal").values_list("external_id", "ordinal")) == [
        ("C2", 0),
        ("C1", 1),
    ]
    assert set(Customer.objects.values_list("is_stub", flat=True)) == {True}
    assert list(
        Order.objects.order_by("external_id").values_list(
            "customer__external_id", "placed_at", "amount", "currency", "rate", "status"
        )
    ) == [
        ("C2", datetime(2024, 4, 30, 16, tzinfo=UTC), Decimal("10"), "CNY", None, "completed"),
        ("C1", datetime(2024, 5, 1, 0, 30, tzinfo=UTC), Decimal("10.5"), "CNY", None, "completed"),
        ("C2", datetime(2024, 5, 1, 0, 30, tzinfo=UTC), Decimal("0"), "CNY", None, "completed"),
    ]
    batches = FactBatch.objects.order_by("kind").values_list("kind", "read", "inserted", "actor")
    assert list(batches) == [("customers", 2, 2, "operator"), ("orders", 3, 3, "operator")]


def test_the_same_file_again_writes_nothing(importer: Importer) -> None:
    """R06 for imports: a repeated file changes nothing, not even a batch."""
    rows = [("O1", "C1", "2024-05-01", "10"), ("O2", "C1", "2024-05-01", "10")]
    importer.rows("orders", BASIC, rows)
    before = list(Order.objects.order_by("pk").values())
    batches = set(FactBatch.objects.values_list("pk", flat=True))
    assert importer.rows("orders", BASIC, rows).counts == (0, 2, 0, 0)
    assert list(Order.objects.order_by("pk").values()) == before
    assert set(FactBatch.objects.values_list("pk", flat=True)) == batches
    assert not FactVersion.objects.exists()


def test_an_update_keeps_the_row_id_and_the_old_version(importer: Importer) -> None:
    importer.rows("orders", BASIC, [("O1", "C1", "2024-05-01", "10")])
    old = Order.objects.get()
    assert importer.rows("orders", BASIC, [("O1", "C2", "2024-05-01", "11")]).counts == (0, 0, 1, 0)
    new = Order.objects.get()
    assert (new.pk, new.amount, new.customer.external_id) == (old.pk, Decimal("11"), "C2")
    version = FactVersion.objects.get()
    assert (version.kind, version.row_id) == ("orders", old.pk)
    assert (version.batch_id, version.superseded_by_id) == (old.batch_id, new.batch_id)
    assert Decimal(str(version.row["amount"])) == Decimal("10")


def test_repeated_keys_follow_file_order(importer: Importer) -> None:
    rows = [("O1", "C1", "2024-05-01", amount) for amount in ("1", "1", "2", "2.0", "3", "x", "1")]
    result = importer.rows("orders", BASIC, rows)
    assert result.counts == (1, 2, 3, 1)
    assert result.rejects == [(7, "bad_number")]
    assert Order.objects.get().amount == 1
    assert importer.rows("orders", BASIC, rows[:3]).counts == (0, 2, 1, 0)
    assert importer.rows("orders", BASIC, [*rows[:3], *rows[:1]]).counts == (0, 1, 3, 0)


def test_absent_column_leaves_and_empty_cell_removes(importer: Importer) -> None:
    header = f"{BASIC} channel discount status is_promotion"
    full = ("O1", "C1", "2024-05-01", "10", "app", "1.00", "paid", "true")
    importer.rows("orders", header, [full])
    assert importer.rows("orders", BASIC, [full[:4]]).counts == (0, 1, 0, 0)
    assert importer.rows("orders", f"{BASIC} channel", [(*full[:4], "")]).counts == (0, 0, 1, 0)
    order = Order.objects.get()
    assert (order.channel, order.discount, order.status) == (None, Decimal("1"), "paid")
    assert importer.rows("orders", header, [(*full[:4], "", "", "", "")]).counts == (0, 0, 1, 0)
    order = Order.objects.get()
    assert (order.discount, order.status, order.is_promotion) == (None, "completed", None)


def test_foreign_amounts_are_converted_once_half_up(importer: Importer) -> None:
    header = f"{BASIC} discount currency rate"
    rows = [
        ("O1", "C1", "2024-05-01", "10.01", "0.05", "USD", "7.1234567891"),
        ("O2", "C1", "2024-05-01", "1001", "", "KRW", "0.005"),  # 5.005
        ("O3", "C1", "2024-05-01", "1.234", "", "KWD", "23"),
        ("O4", "C1", "2024-05-01", "1.5", "", "JPY", "0.05"),
        ("O5", "C1", "2024-05-01", "1", "", "USD", ""),
        ("O6", "C1", "2024-05-01", "1", "", "XXY", "2"),
        ("O7", "C1", "2024-05-01", "1", "", "", "2"),
        ("O8", "C1", "2024-05-01", "1", "", "CNY", "1.0"),
        ("O9", "C1", "2024-05-01", "1", "", "USD", "0"),
        ("P1", "C1", "2024-05-01", "99999999999999", "", "USD", "9"),
    ]
    result = importer.rows("orders", header, rows)
    assert result.rejects == [
        (5, "too_precise"),
        (6, "rate_missing"),
        (7, "unknown_currency"),
        (8, "bad_rate"),
        (10, "bad_rate"),
        (11, "out_of_range"),
    ]
    assert list(
        Order.objects.order_by("external_id").values_list("amount", "discount", "currency", "rate")
    ) == [
        (Decimal("71.31"), Decimal("0.36"), "USD", Decimal("7.1234567891")),
        (Decimal("5.01"), None, "KRW", Decimal("0.005")),
        (Decimal("28.38"), None, "KWD", Decimal("23")),
        (Decimal("1"), None, "CNY", None),
    ]


def test_absent_currency_is_the_stored_one(importer: Importer) -> None:
    header = f"{BASIC} currency rate"
    importer.rows(
        "orders",
        header,
        [("O1", "C1", "2024-05-01", "10", "JPY", "0.05"), ("O2", "C1", "2024-05-01", "1", "", "")],
    )
    result = importer.rows(
        "orders",
        BASIC,
        [
            ("O1", "C1", "2024-05-01", "10"),
            ("O1", "C1", "2024-05-01", "10.5"),
            ("O1", "C1", "2024-05-01", "20"),
            ("O2", "C1", "2024-05-01", "1.234"),
            ("O3", "C1", "2024-05-01", "1.234"),
        ],
    )
    assert result.counts == (0, 1, 1, 3)
    assert result.rejects == [(3, "too_precise"), (5, "too_precise"), (6, "too_precise")]
    order = Order.objects.get(external_id="O1")
    assert (order.amount, order.currency, order.rate) == (1, "JPY", Decimal("0.05"))
    # A currency without rate takes the stored rate only if the currency stays.
    result = importer.rows(
        "orders",
        f"{BASIC} currency",
        [("O1", "C1", "2024-05-01", "20", "JPY"), ("O1", "C1", "2024-05-01", "20", "USD")],
    )
    assert (result.counts, result.rejects) == ((0, 1, 0, 1), [(3, "rate_missing")])
    result = importer.rows("orders", f"{BASIC} rate", [("O1", "C1", "2024-05-01", "20", "0.06")])
    assert result.counts == (0, 0, 1, 0)
    assert Order.objects.get(external_id="O1").amount == Decimal("1.2")
    result = importer.rows("orders", f"{BASIC} rate", [("O2", "C1", "2024-05-01", "1", "0.06")])
    assert result.rejects == [(2, "bad_rate")]


def test_ids_are_compared_byte_for_byte(importer: Importer) -> None:
    ids = ["o1", "O1", " O1", "O1 ", "０1", "O1\u0301", "Ó1", "'; --", "%s", "a\nb", "\\."]
    rows = [(id_, f"{id_}c", "2024-05-01", "1") for id_ in ids]
    assert importer.rows("orders", BASIC, rows).counts == (len(ids), 0, 0, 0)
    assert importer.rows("orders", BASIC, rows).counts == (0, len(ids), 0, 0)
    assert set(Order.objects.values_list("external_id", flat=True)) == set(ids)
    assert set(Customer.objects.values_list("external_id", flat=True)) == {f"{i}c" for i in ids}


def test_bad_cells_reject_their_row_alone(importer: Importer) -> None:
    header = f"{BASIC} status is_promotion paid_at"
    good = ("O1", "C1", "2024-05-01", "1", "", "", "")
    bad = {
        "missing": ("", *good[1:]),
        "too_long": ("x" * 256, *good[1:]),
        "nul_character": ("a\0b", *good[1:]),
        "bad_time": ("O2", "C1", "01/05/2024", *good[3:]),
        "bad_number": ("O2", "C1", "2024-05-01", "1,000", "", "", ""),
        "negative": ("O2", "C1", "2024-05-01", "-0.01", "", "", ""),
        "too_precise": ("O2", "C1", "2024-05-01", "0.001", "", "", ""),
        "out_of_range": ("O2", "C1", "2024-05-01", "1" + "0" * 14, "", "", ""),
        "unknown_status": (*good[:4], "Paid", "", ""),
        "bad_boolean": (*good[:4], "", "True", ""),
    }
    result = importer.rows("orders", header, [*bad.values(), good])
    assert result.counts == (1, 0, 0, len(bad))
    assert [code for _, code in result.rejects] == list(bad)
    assert Customer.objects.count() == 1  # a rejected row creates no stub


def test_strict_rejects_unknown_customers(importer: Importer) -> None:
    importer.rows("customers", "customer_id", [("C1",)])
    rows = [("O1", "C1", "2024-05-01", "1"), ("O2", "C9", "2024-05-01", "1")]
    result = importer.rows("orders", BASIC, rows, strict=True)
    assert (result.counts, result.rejects) == ((1, 0, 0, 1), [(3, "unknown_customer")])
    assert Customer.objects.count() == 1


def test_times_of_the_zone(tmp_path: Path) -> None:
    """S12: skipped and repeated wall times, and a day that starts at one o'clock."""
    from zoneinfo import ZoneInfo

    new_york = Importer(tmp_path, zone=ZoneInfo("America/New_York"))
    rows = [
        ("O1", "C1", "2024-03-10T02:30:00", "1"),
        ("O2", "C1", "2024-11-03T01:30:00", "1"),
        ("O3", "C1", "2024-03-10T02:30:00-05:00", "1"),
        ("O4", "C1", "2024-02-29", "1"),
    ]
    assert new_york.rows("orders", BASIC, rows).rejects == [(2, "nonexistent_time")]
    times = list(Order.objects.order_by("external_id").values_list("placed_at", flat=True))
    assert times == [
        datetime(2024, 11, 3, 5, 30, tzinfo=UTC),
        datetime(2024, 3, 10, 7, 30, tzinfo=UTC),
        datetime(2024, 2, 29, 5, tzinfo=UTC),
    ]
    sao_paulo = Importer(tmp_path, zone=ZoneInfo("America/Sao_Paulo"))
    result = sao_paulo.rows("orders", BASIC, [("P1", "C1", "2018-11-04", "1")])
    assert result.counts == (1, 0, 0, 0)
    assert Order.objects.get(external_id="P1").placed_at == datetime(2018, 11, 4, 3, tzinfo=UTC)
    apia = Importer(tmp_path, zone=ZoneInfo("Pacific/Apia"))
    result = apia.rows("orders", BASIC, [("Q1", "C1", "2011-12-30", "1")])
    assert result.rejects == [(2, "nonexistent_time")]


def test_lines_need_their_order_and_its_currency(importer: Importer) -> None:
    header = f"{BASIC} currency rate"
    orders = [("O1", "C1", "2024-05-01", "10", "", ""), ("O2", "C1", "2024-05-01", "9", "JPY", "2")]
    importer.rows("orders", header, orders)
    result = importer.rows(
        "order_lines",
        "order_id line_no sku amount quantity cost",
        [
            ("O1", "1", "S1", "4.00", "1.5", ""),
            ("O1", "01", "S1", "4.00", "1.5", ""),
            ("O2", "1", "S1", "9", "", "3"),
            ("O2", "2", "S1", "1.5", "", ""),
            ("O3", "1", "S1", "1", "", ""),
            ("O1", "-1", "S1", "1", "", ""),
            ("O1", "2", "S1", "1", "0.00001", ""),
            ("O1", "3", "", "1", "", ""),
        ],
    )
    assert result.counts == (2, 1, 0, 5)
    assert result.rejects == [
        (5, "too_precise"),
        (6, "unknown_order"),
        (7, "bad_whole_number"),
        (8, "too_precise"),
        (9, "missing"),
    ]
    assert list(
        OrderLine.objects.order_by("order__external_id").values_list("line_no", "amount", "cost")
    ) == [(1, Decimal("4"), None), (1, Decimal("18"), Decimal("6"))]
    pk = OrderLine.objects.get(order__external_id="O1").pk
    again = importer.rows("order_lines", "order_id line_no sku amount", [("O1", "1", "S2", "4")])
    assert again.counts == (0, 0, 1, 0)
    line = OrderLine.objects.get(order__external_id="O1")
    assert (line.pk, line.sku, line.quantity) == (pk, "S2", Decimal("1.5"))


def test_a_refund_worth_nothing_in_the_base_currency_is_a_reject(tmp_path: Path) -> None:
    """R14: 0.001 KWD is 0.48 JPY; the reasons that only the database finds have a sentence too."""
    importer = Importer(tmp_path, base_currency="JPY")
    orders = [("O1", "C1", "2024-05-01", "1.005", "KWD", "480.5")]
    importer.rows("orders", f"{BASIC} currency rate", orders)
    result = importer.rows(
        "refunds",
        "refund_id order_id refunded_at amount",
        [("R1", "O1", "2024-05-02", "0.001"), ("R2", "O1", "2024-05-02", "1.004")],
    )
    assert result.counts == (1, 0, 0, 1)
    assert result.rejects == [(2, "not_positive")]
    assert result.reasons[0].endswith("nothing to give back.")
    assert list(Refund.objects.values_list("external_id", "amount")) == [("R2", Decimal("482"))]


def test_lines_and_refunds_follow_a_corrected_rate(importer: Importer) -> None:
    """P03: refunds use their order's rate, also when it is corrected after them, so a whole refund
    stays whole; as if everything had been imported after the correction."""
    header = f"{BASIC} currency rate"
    importer.rows("orders", header, [("O1", "C1", "2024-05-01", "100", "EUR", "7"),
                                     ("O2", "C1", "2024-05-01", "100", "EUR", "7")])  # fmt: skip
    importer.rows(
        "order_lines",
        "order_id line_no sku amount cost",
        [("O1", "1", "S1", "99.99", "0.01"), ("O1", "2", "S1", "0.01", ""),
         ("O2", "1", "S1", "100", "")],
    )  # fmt: skip
    refunds = [("R1", "O1", "2024-05-02", "33.33"), ("R2", "O1", "2024-05-02", "66.67"),
               ("R3", "O2", "2024-05-02", "100")]  # fmt: skip
    importer.rows("refunds", "refund_id order_id refunded_at amount", refunds)
    # the corrected rate comes twice; the last one counts
    rows = [("O1", "C1", "2024-05-01", "100", "EUR", rate) for rate in ("9", "8.125")]
    assert importer.rows("orders", header, rows).counts == (0, 0, 2, 0)

    assert Order.objects.get(external_id="O1").amount == Decimal("812.5")
    found = Refund.objects.order_by("external_id").values_list("external_id", "amount")
    assert list(found) == [
        ("R1", Decimal("270.81")),
        ("R2", Decimal("541.69")),
        ("R3", Decimal("700")),
    ]
    lines = OrderLine.objects.order_by("order__external_id", "line_no")
    assert list(lines.values_list("amount", "cost")) == [
        (Decimal("812.42"), Decimal("0.08")),
        (Decimal("0.08"), None),
        (Decimal("700"), None),
    ]
    # new versions: the old ones stay for older watermarks
    replaced = FactVersion.objects.order_by("kind", "row_id").values_list("kind", "row__amount")
    assert [(kind, Decimal(str(amount))) for kind, amount in replaced] == [
        ("order_lines", Decimal("699.93")),
        ("order_lines", Decimal("0.07")),
        ("orders", Decimal("700")),
        ("refunds", Decimal("233.31")),
        ("refunds", Decimal("466.69")),
    ]
    again = importer.rows("refunds", "refund_id order_id refunded_at amount", refunds)
    assert again.counts == (0, 3, 0, 0)
    # into the base currency and back, a refund too small for it stays above 0
    importer.rows("orders", header, [("O1", "C1", "2024-05-01", "100", "", "")])
    assert Refund.objects.get(external_id="R1").amount == Decimal("33.33")
    importer.rows("orders", header, [("O1", "C1", "2024-05-01", "100", "KRW", "0.0001")])
    assert Refund.objects.get(external_id="R1").amount == Decimal("0.01")
    # a change that leaves the rate alone writes nothing but the order
    batches = FactBatch.objects.count()
    importer.rows("orders", header, [("O2", "C2", "2024-05-01", "100", "EUR", "7.00")])
    kinds = FactBatch.objects.order_by("-pk")[: FactBatch.objects.count() - batches]
    assert sorted(batch.kind for batch in kinds) == ["customers", "orders"]
