"""Finding customers: each way that support is told of, by index, and nothing else."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from segmentation.models import Customer, FactBatch
from segmentation.queries.customers import find_customers, in_id_order

pytestmark = pytest.mark.django_db

PEOPLE = (
    ("C1001", "Rowan Buttons", "13155550119", "rowan.buttons@example.com"),
    ("C1002", "rowan lower", "+86 138-1234-0119", "Other@Example.com"),
    ("0119", "Zephyr", "13155550120", None),
    ("c1001", None, None, None),
    ("D7", "王小明", "13912345678", "wang@example.com"),
    ("D8", "Brown 100%", None, None),
)


@pytest.fixture
def people(db: None) -> None:
    batch = FactBatch.objects.create(kind="customers", source="import", recorded_at=timezone.now())
    for ordinal, (external_id, name, phone, email) in enumerate(PEOPLE):
        Customer.objects.create(
            batch=batch, external_id=external_id, ordinal=ordinal, name=name, phone=phone,
            email=email,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("C1001", ["C1001"]),  # ids byte for byte
        ("C100", ["C1001", "C1002"]),
        ("C", []),  # one character is a whole id or nothing
        ("Row", ["C1001", "C1002"]),
        ("ROWAN B", ["C1001"]),
        ("Buttons", []),  # only how a name begins
        ("王", []),
        ("王小", ["D7"]),
        ("0119", ["0119", "C1001", "C1002"]),  # the end of two phones, and an id
        ("5678", ["D7"]),
        ("13912345678", ["D7"]),
        ("+86 139 1234 5678", []),  # more digits than the phone has
        ("138 1234 0119", ["C1002"]),  # without the country code
        ("8613812340119", ["C1002"]),
        ("13155550119", ["C1001"]),
        ("119", []),  # three digits are no end of a phone
        ("other@example.COM", ["C1002"]),
        ("example.com", []),
        ("Brown 100%", ["D8"]),
        ("%", []),
        ("__", []),
        ("nobody", []),
    ],
)
def test_each_way_finds_exactly_its_customers(people: None, term: str, found: list[str]) -> None:
    rows = find_customers(Customer.objects.all(), term=f" {term} ").order_by("external_id")
    assert [row.external_id for row in rows] == found


def test_an_empty_term_is_no_search(people: None) -> None:
    assert find_customers(Customer.objects.all(), term="  ").count() == len(PEOPLE)


@pytest.mark.parametrize(
    ("term", "index"),
    [
        ("0119", "customer_phone_end"),
        ("Row", "customer_name_start"),
        ("C1001", "customer_external_id"),
    ],
)
def test_a_search_uses_the_index_of_its_kind(people: None, term: str, index: str) -> None:
    """Without a sequential scan in the choice every query of a search is made of index scans."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
    with CaptureQueriesContext(connection) as queries:
        assert len(find_customers(Customer.objects.all(), term=term)) > 0
    plans = ""
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            cursor.execute(f"EXPLAIN {query['sql']}".replace("%", "%%"), [])
            plans += "\n".join(line for (line,) in cursor.fetchall())
    assert index in plans
    assert "Seq Scan" not in plans


@pytest.mark.parametrize("few", [0, 20_000])
def test_what_was_found_is_in_the_order_of_ids(
    people: None, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Few and many are gathered in two ways; the order is the one that pages go on in."""
    monkeypatch.setattr("segmentation.queries.customers._FEW", few)
    for external_id in ("C100", "C1001-a", "c100", "C10010"):
        Customer.objects.create(
            batch=FactBatch.objects.get(), external_id=external_id,
            ordinal=10 + Customer.objects.count(), name="Rowan",
        )  # fmt: skip
    rows = in_id_order(find_customers(Customer.objects.all(), term="rowan"))
    names = list(rows.values_list("external_id", flat=True))
    assert names == ["C100", "C1001", "C1001-a", "C10010", "C1002", "c100"]
    after = rows.filter(external_id__gt="C1001")
    assert list(after.values_list("external_id", flat=True)) == names[2:]
