"""From the source package's tables to fact files: exact, in order, or not at all."""

from __future__ import annotations

import csv
import gzip
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.convert import convert, write_contacts
from tests.fixtures.demo_project import FOLDER

FACTS = FOLDER / "facts"
MEMBERS = """household_id,age,income,home_ownership,household_size,household_comp
1,65+,35-49K,Homeowner,2,2 Adults No Kids
3,,,,,
"""
ORDERS = """basket_id,household_id,store_id,ordered_at,units,total,retail_disc,coupon_match_disc
20,3,364,2017-01-01 03:30:00,3,{total},0.3,0.05
10,1,317,2017-01-02 18:33:25,0,0.0,0.0,0.0
"""
PRODUCTS = """product_id,manufacturer_id,department,brand,product_category,product_type,package_size
7,1,GROCERY,National,CHEESE,CHEESE,
8,1,GROCERY,National,,,
"""


def _source(folder: Path, *, total: str = "0.30", second: float = 0.2) -> Path:
    (folder / "members.csv").write_text(MEMBERS)
    with gzip.open(folder / "orders.csv.gz", "wt") as file:
        file.write(ORDERS.format(total=total))
    with gzip.open(folder / "products.csv.gz", "wt") as file:
        file.write(PRODUCTS)
    lines = {
        "basket_id": [20, 10, 20],
        "product_id": [7, 8, 9],
        "quantity": [1, 0, 2],
        "sales_value": [0.1, 0.0, second],
        "retail_disc": [0.1, 0.0, 0.2],
        "coupon_disc": [0.5, 0.0, 0.0],
        "coupon_match_disc": [0.05, 0.0, 0.0],
    }
    pq.write_table(pa.table(lines), folder / "order_lines.parquet")
    return folder


def test_files_have_the_contracts_columns_and_exact_money(tmp_path: Path) -> None:
    """0.1 + 0.2 dollars are 0.30; coupon_disc is not subtracted; no value stays no value."""
    target = tmp_path / "facts"
    assert convert(_source(tmp_path), target=target) == {
        "customers": 2,
        "orders": 2,
        "order_lines": 3,
        "contacts": 2,
    }
    assert (target / "customers.csv").read_text().splitlines() == [
        "customer_id,tag:age,tag:income,tag:home_ownership,tag:household",
        "1,65+,35-49K,Homeowner,2 Adults No Kids",
        "3,,,,",
    ]
    assert gzip.decompress((target / "orders.csv.gz").read_bytes()).decode().splitlines() == [
        "order_id,customer_id,placed_at,amount,discount,currency,channel,is_promotion,store_id",
        "20,3,2017-01-01T03:30:00Z,0.30,0.35,USD,store,true,364",
        "10,1,2017-01-02T18:33:25Z,0.00,0.00,USD,store,false,317",
    ]
    lines = pq.read_table(target / "order_lines.parquet").to_pylist()
    names = ("order_id", "line_no", "sku", "amount", "category", "quantity", "discount")
    assert [tuple(line[name] for name in names) for line in lines] == [
        ("20", 1, "7", Decimal("0.10"), "CHEESE", 1, Decimal("0.15")),
        ("10", 1, "8", Decimal("0.00"), None, 0, Decimal("0.00")),
        ("20", 2, "9", Decimal("0.20"), None, 2, Decimal("0.20")),
    ]


def test_contacts_are_invented_but_the_home_store_is_the_one_with_most_money(
    tmp_path: Path,
) -> None:
    source, target = _source(tmp_path), tmp_path / "facts"
    with gzip.open(source / "orders.csv.gz", "at") as file:  # more orders, no money
        for basket in (30, 40):
            file.write(f"{basket},3,9,2017-01-03 10:00:00,1,0.0,0.0,0.0\n")
    lines = pq.read_table(source / "order_lines.parquet").to_pylist()
    lines += [{**lines[1], "basket_id": basket} for basket in (30, 40)]
    pq.write_table(pa.Table.from_pylist(lines), source / "order_lines.parquet")
    convert(source, target=target)
    with (target / "contacts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["customer_id"], row["home_store"]) for row in rows] == [("1", "317"), ("3", "364")]


def test_contacts_of_the_demo_are_nobodys(tmp_path: Path) -> None:
    """Phones of the range nobody has, e-mails of a reserved domain; the same on every machine."""
    target = tmp_path / "contacts.csv"
    with (FACTS / "contacts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert write_contacts({r["customer_id"]: r["home_store"] for r in rows}, path=target) == 1231
    assert target.read_bytes() == (FACTS / "contacts.csv").read_bytes()
    phones = [row["phone"] for row in rows if row["phone"]]
    assert [phone for phone in phones if not re.fullmatch(r"1[2-9]\d\d55501\d\d", phone)] == []
    assert len(set(phones)) == len(phones) > 1000
    emails = [row["email"] for row in rows if row["email"]]
    assert [email for email in emails if not email.endswith("@example.com")] == []
    assert len(set(emails)) == len(emails) > 1000
    assert sum(path.stat().st_size for path in FACTS.iterdir()) < 8_000_000


@pytest.mark.parametrize(
    ("total", "second", "reason"),
    [
        ("0.31", 0.2, "1 orders whose total is not the sum of their lines"),
        ("0.30", 0.204, "1 lines whose money is no whole number of cents"),
    ],
)
def test_a_source_that_does_not_add_up_is_refused_and_nothing_written(
    tmp_path: Path, total: str, second: float, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        convert(_source(tmp_path, total=total, second=second), target=tmp_path / "facts")
    assert not (tmp_path / "facts").exists()
