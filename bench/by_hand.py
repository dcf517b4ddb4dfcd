"""The figures of `definitions.py` as one SQL statement written by hand: the lower bound.

It has no versions, watermarks, hashes or memberships, and reads each kind of fact once. The same
text runs in DuckDB over the mirror's files and in PostgreSQL over the tables of facts; what differs
is in `Dialect`. Money and quantities are integers in 1/10000.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
from definitions import CITY_TIERS, PROGRAMS, SEGMENTS, TAGS, WINDOWS
from generate import ZONE
from pyroaring import BitMap

MONEY = 10_000
CENT = 100
PERIODS = (*WINDOWS, "months", "year")


@dataclass(frozen=True)
class Dialect:
    """Five relations and what the two databases spell differently.

    orders: id, ordinal, t, day, promo, channel, store, amount, saved; lines: id, order_id, line_no,
    ordinal, t, sku, category, quantity, amount; refunds: order_id, line_no, t, amount; customers:
    ordinal, external_id; tags: ordinal, value. `instant` writes a time as `t` is.
    """

    orders: str
    lines: str
    refunds: str
    customers: str
    tags: str
    divide: str
    instant: Callable[[datetime], str]


def duck_dialect(folder: Path, files: Sequence[dict[str, object]]) -> Dialect:
    def rows(kind: str) -> str:
        paths = [str(folder / str(file["path"])) for file in files if file["kind"] == kind]
        return f"read_parquet({paths!r})"

    def micros(at: datetime) -> str:
        return str(round(at.timestamp()) * 1_000_000)

    return Dialect(
        orders="SELECT id, ordinal, placed_at AS t, placed_day::BIGINT AS day, is_promotion AS"
        f" promo, channel, store_id AS store, amount, discount AS saved FROM {rows('orders')}",
        lines="SELECT id, order_id, line_no, ordinal, placed_at AS t, sku, category, quantity,"
        f" amount FROM {rows('order_lines')}",
        refunds=f"SELECT order_id, line_no, refunded_at AS t, amount FROM {rows('refunds')}",
        customers=f"SELECT ordinal, external_id FROM {rows('customers')}",
        tags=f"SELECT ordinal, value FROM {rows('tags')} WHERE tag_group = 'city_tier'",
        divide="//",
        instant=micros,
    )


def postgres_dialect() -> Dialect:
    def units(column: str) -> str:
        return f"(o.{column} * {MONEY})::bigint"

    return Dialect(
        orders="SELECT o.id, o.customer_id - 1 AS ordinal, o.placed_at AS t,"
        f" (o.placed_at AT TIME ZONE '{ZONE}')::date - DATE '1970-01-01' AS day,"
        f" o.is_promotion AS promo, o.channel, o.store_id AS store, {units('amount')} AS amount,"
        f" {units('discount')} AS saved FROM segmentation_order o",
        lines="SELECT o.id, o.order_id, o.line_no, p.customer_id - 1 AS ordinal, p.placed_at AS t,"
        f" o.sku, o.category, {units('quantity')} AS quantity, {units('amount')} AS amount"
        " FROM segmentation_orderline o JOIN segmentation_order p ON p.id = o.order_id",
        refunds="SELECT o.order_id, o.line_no, o.refunded_at AS t,"
        f" {units('amount')} AS amount FROM segmentation_refund o",
        customers="SELECT ordinal, external_id FROM segmentation_customer",
        tags="SELECT customer_id - 1 AS ordinal, value FROM segmentation_customertag"
        " WHERE \"group\" = 'city_tier'",
        divide="/",
        instant=lambda at: f"TIMESTAMPTZ '{at.isoformat()}'",
    )


def starts_at(as_of: datetime) -> dict[object, datetime]:
    """The first instant of every window that ends at `as_of`."""
    here = as_of.astimezone(ZoneInfo(ZONE))
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    days = {days: midnight - timedelta(days=days - 1) for days in WINDOWS}
    ends = {**days, "months": midnight.replace(year=here.year - 1),
            "year": midnight.replace(month=1, day=1)}  # fmt: skip
    return {name: at.replace(tzinfo=ZoneInfo(ZONE)) for name, at in ends.items()}


def figures_sql(sql: Dialect, *, as_of: datetime) -> str:
    """A row per customer: metrics, tags, layers, segments and the tier of each program."""
    end = sql.instant(as_of)
    today = (as_of.astimezone(ZoneInfo(ZONE)).date() - date(1970, 1, 1)).days
    since = {name: f"t >= {sql.instant(at)}" for name, at in starts_at(as_of).items()}
    return f"""
    WITH refunds AS (SELECT * FROM ({sql.refunds}) r WHERE t < {end}),
    whole AS (SELECT order_id, sum(amount)::BIGINT AS gone,
                     sum(CASE WHEN line_no IS NULL THEN amount ELSE 0 END)::BIGINT AS without_line
              FROM refunds GROUP BY order_id),
    o AS (SELECT o.*, greatest(o.amount - coalesce(w.gone, 0), 0) AS net
          FROM ({sql.orders}) o LEFT JOIN whole w ON w.order_id = o.id WHERE o.t < {end}),
    {_lines(sql, end=end, year=since[365])}
    {_sums(since, today)}
    m AS (SELECT c.ordinal, c.external_id, g.value AS city_tier, {_shown()}
          FROM ({sql.customers}) c LEFT JOIN a ON a.ordinal = c.ordinal
          LEFT JOIN d ON d.ordinal = c.ordinal LEFT JOIN n ON n.ordinal = c.ordinal
          LEFT JOIN b ON b.ordinal = c.ordinal LEFT JOIN k ON k.ordinal = c.ordinal
          LEFT JOIN y ON y.ordinal = c.ordinal LEFT JOIN ({sql.tags}) g ON g.ordinal = c.ordinal),
    ranked AS (SELECT total_spend AS v, row_number() OVER (ORDER BY total_spend) - 1 AS i,
                      count(*) OVER () AS n FROM m),
    cuts AS (SELECT {_cuts(sql.divide)} FROM ranked),
    x AS (SELECT m.*,
          CASE WHEN spend_365 >= {2000 * MONEY} THEN 'high'
               WHEN spend_365 >= {500 * MONEY} THEN 'middle' ELSE 'low' END AS value,
          CASE WHEN total_spend >= c80 THEN 'q5' WHEN total_spend >= c60 THEN 'q4'
               WHEN total_spend >= c40 THEN 'q3' WHEN total_spend >= c20 THEN 'q2'
               ELSE 'q1' END AS quintile,
          {_tags()} FROM m CROSS JOIN cuts),
    s AS (SELECT x.*, {_segments(0, 1, 2)} FROM x)
    SELECT s.*, {_segments(3)}, {_tiers()} FROM s"""


def _cuts(divide: str) -> str:
    return ", ".join(
        f"max(CASE WHEN i = n * {p} {divide} 100 THEN v END) AS c{p}" for p in (20, 40, 60, 80)
    )


def _lines(sql: Dialect, *, end: str, year: str) -> str:
    """`y`: figures of the year's lines, an order's refunds divided over its lines."""
    return f"""
    taken AS (SELECT order_id, line_no, sum(amount)::BIGINT AS gone FROM refunds
              WHERE line_no IS NOT NULL GROUP BY order_id, line_no),
    l AS NOT MATERIALIZED (SELECT * FROM ({sql.lines}) l WHERE t < {end} AND {year}),
    own AS (SELECT l.id, l.order_id, l.line_no, w.without_line {sql.divide} {CENT} AS asked,
                   least(l.amount, coalesce(t.gone, 0)) AS gone,
                   (l.amount - least(l.amount, coalesce(t.gone, 0))) {sql.divide} {CENT} AS rest
            FROM l JOIN whole w ON w.order_id = l.order_id
            LEFT JOIN taken t ON t.order_id = l.order_id AND t.line_no = l.line_no),
    due AS (SELECT *, (sum(rest) OVER (PARTITION BY order_id))::BIGINT AS total FROM own),
    given AS (SELECT *, least(asked, total) AS give,
                     rest * least(asked, total) {sql.divide} greatest(total, 1) AS share,
                     rest * least(asked, total) % greatest(total, 1) AS remain FROM due),
    shared AS (SELECT id, gone, share, give - sum(share) OVER (PARTITION BY order_id) AS short,
                      row_number() OVER (PARTITION BY order_id ORDER BY remain DESC, line_no)
                      AS place FROM given),
    line AS (SELECT l.*, l.amount - coalesce(
                 s.gone + (s.share + CASE WHEN s.place <= s.short THEN 1 ELSE 0 END) * {CENT}, 0)
                 AS net FROM l LEFT JOIN shared s ON s.id = l.id),"""


def _sums(since: dict[object, str], today: int) -> str:
    orders = ", ".join(
        f"sum(net) FILTER (WHERE {since[d]}) AS spend_{d},"
        f" count(*) FILTER (WHERE {since[d]}) AS orders_{d},"
        f" sum(net) FILTER (WHERE {since[d]} AND promo) AS promo_{d},"
        f" count(*) FILTER (WHERE {since[d]} AND net >= {100 * MONEY}) AS big_orders_{d}"
        for d in WINDOWS
    )
    more = ", ".join(
        f"sum(net) FILTER (WHERE {since[d]} AND channel = 'app') AS app_spend_{d},"
        f" count(*) FILTER (WHERE {since[d]} AND channel = 'store') AS store_orders_{d},"
        f" max(net) FILTER (WHERE {since[d]}) AS largest_{d},"
        f" sum(saved) FILTER (WHERE {since[d]}) AS saved_{d}"
        for d in (90, 365)
    )
    lines = ", ".join(
        f"sum(net) FILTER (WHERE {since[d]} AND category = 'category 000') AS grocery_spend_{d},"
        f" sum(quantity) FILTER (WHERE {since[d]}) AS units_{d},"
        f" count(*) FILTER (WHERE {since[d]}) AS lines_{d}"
        for d in (90, 365)
    )
    flags = ", ".join(f"bool_or({since[d]}) AS f_{d}" for d in WINDOWS)
    active = ", ".join(f"count(*) FILTER (WHERE f_{d}) AS active_{d}" for d in WINDOWS)
    year = since[365]
    return f"""
    a AS (SELECT ordinal, {orders}, {more}, min(amount) FILTER (WHERE {year}) AS smallest,
                 sum(amount) FILTER (WHERE {year}) AS gross,
                 sum(net) FILTER (WHERE {year} AND channel = 'web') AS web_share_365,
                 sum(net) FILTER (WHERE {since["months"]}) AS months_12,
                 sum(net) FILTER (WHERE {since["year"]}) AS this_year,
                 {today} - max(day) AS recency, {today} - min(day) AS first,
                 sum(net) AS total_spend, count(*) AS total_orders FROM o GROUP BY ordinal),
    d AS (SELECT ordinal, {active} FROM (SELECT ordinal, day, {flags} FROM o WHERE {year}
          GROUP BY ordinal, day) z GROUP BY ordinal),
    n AS (SELECT ordinal, count(*) AS stores FROM (SELECT DISTINCT ordinal, store FROM o
          WHERE {year} AND store IS NOT NULL) z GROUP BY ordinal),
    b AS (SELECT ordinal, count(*) AS skus FROM (SELECT DISTINCT ordinal, sku FROM l
          WHERE sku IS NOT NULL) z GROUP BY ordinal),
    k AS (SELECT ordinal, count(*) AS categories FROM (SELECT DISTINCT ordinal, category FROM l
          WHERE category IS NOT NULL) z GROUP BY ordinal),
    y AS (SELECT ordinal, {lines}, max(amount) AS line_largest, sum(net) AS line_net_365,
                 sum(net) FILTER (WHERE category IN ('category 001', 'category 002'))
                 AS home_share_365 FROM line GROUP BY ordinal),"""


ZEROS = (
    *(f"{name}_{d}" for d in WINDOWS for name in ("spend", "orders", "active", "big_orders")),
    *(
        f"{name}_{d}"
        for d in (90, 365)
        for name in ("app_spend", "store_orders", "saved", "grocery_spend", "units", "lines")
    ),
    "stores", "total_spend", "total_orders", "gross", "months_12", "this_year", "skus",
    "categories", "line_net_365",
)  # fmt: skip
GAPS = ("largest_90", "largest_365", "smallest", "recency", "first", "line_largest")
# Numerator and divisor; missing where the divisor is 0.
FRACTIONS = {
    **{f"promo_{d}": f"spend_{d}" for d in WINDOWS},
    "web_share_365": "spend_365",
    "home_share_365": "line_net_365",
    "basket_90": "orders_90",
    "basket_365": "orders_365",
}


def _shown() -> str:
    shown = [f"coalesce({name}, 0)::BIGINT AS {name}" for name in ZEROS]
    shown += [f"{name}::BIGINT AS {name}" for name in GAPS]
    for name, below in FRACTIONS.items():
        above = name.replace("basket", "spend")
        shown.append(f"CASE WHEN {below} > 0 THEN coalesce({above}, 0)::BIGINT END AS {name}")
    return ", ".join(shown)


def _reaches(metric: str, least: str) -> str:
    """`metric >= least` exactly; a share's or average's least figure has one decimal at most."""
    if metric in FRACTIONS:
        unit = MONEY if metric.startswith("basket") else 1
        tenths = round(float(least) * 10) * unit
        return f"coalesce({metric} * 10 >= {tenths} * {FRACTIONS[metric]}, false)"
    unit = 1 if metric.split("_")[0] in ("orders", "active", "skus", "store") else MONEY
    return f"{metric} >= {int(least) * unit}"


def _tags() -> str:
    return ", ".join(
        f"CASE WHEN {_reaches(metric, least)} THEN 'yes' WHEN orders_180 >= 1 THEN 'no' END"
        f" AS {group}"
        for group, metric, least in TAGS
    )


def _segments(*kinds: int) -> str:
    found = []
    for number in range(SEGMENTS):
        kind, turn = number % 4, number // 4
        if kind not in kinds:
            continue
        if kind == 0:
            rule = (
                f"spend_{WINDOWS[turn % 4]} >= {(50 + 10 * turn) * MONEY}"
                f" AND (coalesce(recency <= {20 + turn}, false)"
                " OR coalesce(promo_365 * 4 < spend_365, false))"
            )
        elif kind == 1:
            rule = (
                f"coalesce({TAGS[turn % len(TAGS)][0]} = 'yes', false) AND orders_365 >= {1 + turn}"
                f" AND coalesce(city_tier = '{CITY_TIERS[turn % 3]}', false)"
            )
        elif kind == 2:
            rule = (
                f"value IN ('middle', 'high') AND (units_365 >= {(20 + 5 * turn) * MONEY}"
                f" OR quintile = 'q5') AND grocery_spend_90 >= {turn * MONEY}"
            )
        else:
            rule = f"s{number - 1 - turn % 3:03d} AND quintile NOT IN ('q2', 'q3')"
        found.append(f"({rule}) AS s{number:03d}")
    return ", ".join(found)


def _tiers() -> str:
    return ", ".join(
        "CASE "
        + " ".join(f"WHEN {_reaches(metric, bounds[rank - 1])} THEN {rank}" for rank in (3, 2, 1))
        + f" END AS {key}"
        for key, metric, bounds in PROGRAMS
    )


def run_by_hand(
    duck: duckdb.DuckDBPyConnection, sql: Dialect, *, as_of: datetime, to: Path
) -> dict[str, BitMap]:
    """Create `hand`, write the snapshot, build the segments' bitmaps."""
    duck.execute(f"CREATE OR REPLACE TEMP TABLE hand AS {figures_sql(sql, as_of=as_of)}")
    duck.execute(f"COPY hand TO '{to}' (FORMAT parquet, COMPRESSION zstd)")
    names = [f"s{number:03d}" for number in range(SEGMENTS)]
    table = duck.sql(f"SELECT ordinal, {', '.join(names)} FROM hand").to_arrow_table()
    ordinals = np.asarray(table["ordinal"]).astype(np.uint32)
    return {name: BitMap(ordinals[np.asarray(table[name])]) for name in names}
