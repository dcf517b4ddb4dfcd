"""Turns half of The Complete Journey into the contract's fact files (demo/README.md).

    python demo/convert.py SOURCE [TARGET]

SOURCE is a folder with `members.csv`, `orders.csv.gz`, `order_lines.parquet` and
`products.csv.gz`; TARGET (default: `facts` beside this file) gets `customers.csv`, `contacts.csv`,
`orders.csv.gz` and `order_lines.parquet`. The same input gives the same rows in the same order.

Nothing is dropped, and only `contacts.csv` holds what is made up: names, phones and e-mails. The
publisher made the households anonymous, so a page of one would have nothing on it to mask, to
search or to reveal. They are drawn from word lists with a fixed seed; the phones are of the range
555-0100 to 555-0199, which no telephone company gives to anybody, and the e-mails are of
example.com, which is reserved (RFC 2606). The home stores beside them are facts.

The conversion stops when an amount is no whole number of cents, when an order's total is not the
sum of its lines, or when a line has no order.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb

# The demographics that become tag groups, and the name of the group of each.
TAG_COLUMNS = {
    "age": "age",
    "income": "income",
    "home_ownership": "home_ownership",
    "household_comp": "household",
}

_SEED = 20170101
_CONTACT_COLUMNS = ("customer_id", "home_store", "name", "phone", "email")
_FIRST_NAMES = (
    "Alex", "Arden", "Avery", "Bailey", "Blair", "Cameron", "Casey", "Charlie", "Dakota", "Drew",
    "Eden", "Ellis", "Emery", "Finley", "Frankie", "Gray", "Harper", "Hayden", "Indigo", "Jamie",
    "Jesse", "Jordan", "Kai", "Kendall", "Lane", "Logan", "Marley", "Morgan", "Noel", "Oakley",
    "Parker", "Peyton", "Quinn", "Reese", "Riley", "Robin", "Rowan", "Sage", "Skyler", "Taylor",
)  # fmt: skip
_FAMILY_NAMES = (
    "Acorn", "Almanac", "Bobbin", "Bramble", "Buttons", "Candle", "Clover", "Compass", "Cricket",
    "Dandelion", "Doorbell", "Ember", "Feather", "Gazebo", "Gumdrop", "Haystack", "Icicle",
    "Jigsaw", "Kettle", "Lantern", "Marmalade", "Meadowlark", "Nutmeg", "Orchard", "Paperclip",
    "Pebble", "Quill", "Rowboat", "Saddle", "Snowdrop", "Teapot", "Thimble", "Trellis", "Umbrella",
    "Velvet", "Walnut", "Weathervane", "Windmill", "Yarrow", "Zephyr",
)  # fmt: skip
_AREA_CODES = (
    "212", "315", "332", "347", "516", "518", "585", "607", "631", "646", "680", "716", "718",
    "838", "845", "914", "917", "929", "934",
)  # fmt: skip
_PER_AREA = 100  # 555-0100 to 555-0199
_WITHOUT_PHONE, _WITHOUT_EMAIL = 0.04, 0.15  # shares: pages must also look right with gaps

# Cents, so that every sum and every comparison is exact; the source has binary floats.
_LINES = """
CREATE TABLE lines AS
SELECT
    CAST(l.basket_id AS VARCHAR) AS order_id,
    row_number() OVER (PARTITION BY l.basket_id ORDER BY l.position) AS line_no,
    CAST(l.product_id AS VARCHAR) AS sku,
    CAST(round(l.sales_value * 100) AS BIGINT) AS amount,
    p.product_category AS category,
    l.quantity,
    CAST(round((l.retail_disc + l.coupon_match_disc) * 100) AS BIGINT) AS discount,
    abs(l.sales_value * 100 - round(l.sales_value * 100)) > 1e-6
        OR abs((l.retail_disc + l.coupon_match_disc) * 100
               - round((l.retail_disc + l.coupon_match_disc) * 100)) > 1e-6 AS inexact,
    l.position
FROM (SELECT *, file_row_number AS position
      FROM read_parquet($lines, file_row_number = true)) AS l
LEFT JOIN (SELECT product_id, nullif(product_category, '') AS product_category
           FROM read_csv($products)) AS p ON p.product_id = l.product_id
"""

_ORDERS = """
CREATE TABLE orders AS
SELECT
    o.basket_id AS order_id,
    o.household_id AS customer_id,
    replace(o.ordered_at, ' ', 'T') || 'Z' AS placed_at,
    CAST(CAST(o.total AS DECIMAL(18, 2)) * 100 AS BIGINT) AS amount,
    CAST(CAST(o.retail_disc AS DECIMAL(18, 2)) * 100
       + CAST(o.coupon_match_disc AS DECIMAL(18, 2)) * 100 AS BIGINT) AS stated_discount,
    l.amount AS line_amount,
    l.discount,
    o.store_id,
    o.position
FROM (SELECT *, row_number() OVER () AS position
      FROM read_csv($orders, all_varchar = true, parallel = false)) AS o
LEFT JOIN (SELECT order_id, CAST(sum(amount) AS BIGINT) AS amount,
                  CAST(sum(discount) AS BIGINT) AS discount
           FROM lines GROUP BY order_id) AS l ON l.order_id = o.basket_id
"""

# The store that took most of a household's money; then the one with most orders, then the lower
# number, so that the same orders always name the same store.
_HOME_STORES = """
CREATE TABLE home_stores AS
SELECT customer_id,
       first(store_id ORDER BY amount DESC, orders DESC, length(store_id), store_id) AS home_store
FROM (SELECT customer_id, store_id, sum(amount) AS amount, count(*) AS orders
      FROM orders WHERE store_id IS NOT NULL GROUP BY customer_id, store_id)
GROUP BY customer_id
"""

# Each counts rows that must not exist.
_CHECKS = {
    "lines whose money is no whole number of cents": "SELECT count(*) FROM lines WHERE inexact",
    "lines of an unknown order": "SELECT count(*) FROM lines ANTI JOIN orders USING (order_id)",
    "orders without lines": "SELECT count(*) FROM orders WHERE line_amount IS NULL",
    "orders whose total is not the sum of their lines": (
        "SELECT count(*) FROM orders WHERE amount <> line_amount"
    ),
    "orders whose discount is not the sum of their lines'": (
        "SELECT count(*) FROM orders WHERE stated_discount <> discount"
    ),
    "negative amounts": (
        "SELECT (SELECT count(*) FROM lines WHERE amount < 0 OR discount < 0 OR quantity < 0)"
        " + (SELECT count(*) FROM orders WHERE amount < 0)"
    ),
    "orders told twice": "SELECT count(*) - count(DISTINCT order_id) FROM orders",
    "orders of an unknown household": (
        "SELECT count(*) FROM orders ANTI JOIN members ON household_id = customer_id"
    ),
}


def _money(column: str) -> str:
    """Cents as an exact decimal with two places."""
    return f"CAST(CAST({column} AS DECIMAL(18, 2)) / 100 AS DECIMAL(9, 2))"


def convert(source: Path, *, target: Path) -> dict[str, int]:
    """Write the four files; rows written by file.

    Raises ValueError, naming each broken expectation with its number of rows, before any file is
    written.
    """
    database = duckdb.connect()
    database.execute("SET threads = 1; SET preserve_insertion_order = true")
    database.execute(
        "CREATE TABLE members AS SELECT * FROM read_csv($path, all_varchar = true)",
        {"path": str(source / "members.csv")},
    )
    database.execute(
        _LINES,
        {
            "lines": str(source / "order_lines.parquet"),
            "products": str(source / "products.csv.gz"),
        },
    )
    database.execute(_ORDERS, {"orders": str(source / "orders.csv.gz")})
    database.execute(_HOME_STORES)
    _check(database)
    target.mkdir(parents=True, exist_ok=True)
    tags = ", ".join(f'{column} AS "tag:{group}"' for column, group in TAG_COLUMNS.items())
    files = {
        "customers": (
            f"SELECT household_id AS customer_id, {tags} FROM members",
            target / "customers.csv",
            "FORMAT csv, HEADER",
        ),
        "orders": (
            f"SELECT order_id, customer_id, placed_at, {_money('amount')} AS amount,"
            f" {_money('discount')} AS discount, 'USD' AS currency, 'store' AS channel,"
            " discount > 0 AS is_promotion, store_id FROM orders ORDER BY position",
            target / "orders.csv.gz",
            "FORMAT csv, HEADER, COMPRESSION gzip",
        ),
        "order_lines": (
            f"SELECT order_id, CAST(line_no AS INTEGER) AS line_no, sku,"
            f" {_money('amount')} AS amount, category, CAST(quantity AS INTEGER) AS quantity,"
            f" {_money('discount')} AS discount FROM lines ORDER BY position",
            target / "order_lines.parquet",
            "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 19",
        ),
    }
    written = {}
    for kind, (query, path, options) in files.items():
        row = database.execute(f"COPY ({query}) TO '{path}' ({options})").fetchone()
        written[kind] = int(row[0]) if row else 0
    written["contacts"] = write_contacts(_home_stores(database), path=target / "contacts.csv")
    return written


def _home_stores(database: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """The home store of each household, in the order of `members.csv`; None: it bought nothing."""
    rows = database.execute(
        "SELECT household_id, home_store FROM (SELECT *, row_number() OVER () AS position"
        " FROM members) LEFT JOIN home_stores ON customer_id = household_id ORDER BY position"
    ).fetchall()
    return dict(rows)


def _check(database: duckdb.DuckDBPyConnection) -> None:
    found = []
    for meaning, query in _CHECKS.items():
        row = database.execute(query).fetchone()
        if row and row[0]:
            found.append(f"{row[0]} {meaning}")
    if found:
        raise ValueError("; ".join(found))


def write_contacts(home_stores: Mapping[str, str | None], *, path: Path) -> int:
    """Write one row per household in the given order; how many.

    The same households always get the same rows. Phones and e-mails are unique, names are not.
    """
    draw = random.Random(_SEED)  # noqa: S311  (nothing is secret here, all of it is invented)
    lines = list(range(len(home_stores)))
    draw.shuffle(lines)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CONTACT_COLUMNS)
        for (customer_id, store), line in zip(home_stores.items(), lines, strict=True):
            first, family = draw.choice(_FIRST_NAMES), draw.choice(_FAMILY_NAMES)
            phone = "" if draw.random() < _WITHOUT_PHONE else _phone(line)
            email = f"{first}.{family}.{customer_id}@example.com".lower()
            if draw.random() < _WITHOUT_EMAIL:
                email = ""
            writer.writerow((customer_id, store or "", f"{first} {family}", phone, email))
    return len(home_stores)


def _phone(line: int) -> str:
    """Eleven digits with the country code; `line` counts through area codes of 100 numbers each."""
    area, end = divmod(line, _PER_AREA)
    if area >= len(_AREA_CODES):
        raise ValueError(f"more than {len(_AREA_CODES) * _PER_AREA} households: add area codes")
    return f"1{_AREA_CODES[area]}55501{end:02}"


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent / "facts"
    for kind, rows in convert(Path(sys.argv[1]), target=folder).items():
        sys.stdout.write(f"{kind}: {rows} rows\n")
