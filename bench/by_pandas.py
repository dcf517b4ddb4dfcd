"""The figures of `definitions.py` in pandas, as an analyst would write them: for comparison only.

Reads the mirror's files into memory and gives one frame, a row per customer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from by_hand import CENT, FRACTIONS, GAPS, MONEY, ZEROS, starts_at
from definitions import CITY_TIERS, PROGRAMS, SEGMENTS, TAGS, WINDOWS
from generate import ZONE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def figures(folder: Path, files: Sequence[dict[str, object]], *, as_of: datetime) -> pd.DataFrame:
    def read(kind: str, columns: list[str]) -> pd.DataFrame:
        paths = [folder / str(file["path"]) for file in files if file["kind"] == kind]
        tables = [pq.read_table(path, columns=columns) for path in paths]
        coded = pa.concat_tables(tables).to_pandas(strings_to_categorical=True)
        return coded.astype({name: "string" for name in ("external_id",) if name in columns})

    end = _micros(as_of)
    since = {name: _micros(at) for name, at in starts_at(as_of).items()}
    today = (as_of.astimezone(ZoneInfo(ZONE)).date() - EPOCH.date()).days
    refunds = read("refunds", ["order_id", "line_no", "refunded_at", "amount"])
    refunds = refunds[refunds.refunded_at < end]
    orders = read("orders", ["id", "ordinal", "placed_at", "placed_day", "is_promotion", "channel",
                             "store_id", "amount", "discount"])  # fmt: skip
    orders = orders[orders.placed_at < end]
    gone = refunds.groupby("order_id").amount.sum()
    orders["net"] = (orders.amount - orders.id.map(gone).fillna(0).astype("int64")).clip(lower=0)
    found = read("customers", ["ordinal", "external_id"]).set_index("ordinal").sort_index()
    parts = [_orders(orders, since, today)]
    del orders
    lines = read("order_lines", ["id", "order_id", "line_no", "ordinal", "placed_at", "sku",
                                 "category", "quantity", "amount"])  # fmt: skip
    lines = lines[(lines.placed_at < end) & (lines.placed_at >= since[365])]
    lines["net"] = lines.amount - _line_refunds(lines, refunds)
    parts.append(_lines(lines, since))
    found = found.join(parts)
    for name in ZEROS:
        found[name] = found[name].fillna(0).astype("int64")
    for name in GAPS:
        found[name] = found[name].astype("Int64")
    for name, below in FRACTIONS.items():
        above = found[name.replace("basket", "spend")].fillna(0).astype("Int64")
        found[name] = above.where(found[below] > 0)
    tags = read("tags", ["ordinal", "value"]).set_index("ordinal").value
    found["city_tier"] = found.index.map(tags.astype("string"))
    return _verdicts(found)


def _micros(at: datetime) -> int:
    return round((at - EPOCH).total_seconds()) * 1_000_000


def _orders(orders: pd.DataFrame, since: dict[object, int], today: int) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for days in WINDOWS:
        recent = orders[orders.placed_at >= since[days]]
        by = recent.groupby("ordinal")
        columns[f"spend_{days}"] = by.net.sum()
        columns[f"orders_{days}"] = by.size()
        columns[f"promo_{days}"] = recent[recent.is_promotion].groupby("ordinal").net.sum()
        columns[f"active_{days}"] = by.placed_day.nunique()
        columns[f"big_orders_{days}"] = recent[recent.net >= 100 * MONEY].groupby("ordinal").size()
        if days in (90, 365):
            app, store = recent[recent.channel == "app"], recent[recent.channel == "store"]
            columns[f"app_spend_{days}"] = app.groupby("ordinal").net.sum()
            columns[f"store_orders_{days}"] = store.groupby("ordinal").size()
            columns[f"largest_{days}"] = by.net.max()
            columns[f"saved_{days}"] = by.discount.sum()
        if days == 365:
            columns["smallest"], columns["gross"] = by.amount.min(), by.amount.sum()
            columns["stores"] = by.store_id.nunique()
            web = recent[recent.channel == "web"]
            columns["web_share_365"] = web.groupby("ordinal").net.sum()
    months, year = (orders[orders.placed_at >= since[name]] for name in ("months", "year"))
    columns["months_12"] = months.groupby("ordinal").net.sum()
    columns["this_year"] = year.groupby("ordinal").net.sum()
    by = orders.groupby("ordinal")
    columns["recency"] = today - by.placed_day.max().astype("int64")
    columns["first"] = today - by.placed_day.min().astype("int64")
    columns["total_spend"], columns["total_orders"] = by.net.sum(), by.size()
    return pd.DataFrame(columns)


def _line_refunds(lines: pd.DataFrame, refunds: pd.DataFrame) -> pd.Series:
    """What refunds took of each line: its own, then a share of those without a line, in cents."""
    own = refunds[refunds.line_no.notna()].groupby(["order_id", "line_no"]).amount.sum()
    whole = refunds[refunds.line_no.isna()].groupby("order_id").amount.sum()
    touched = lines[lines.order_id.isin(refunds.order_id)].sort_values(["order_id", "line_no"])
    keys = pd.MultiIndex.from_arrays([touched.order_id, touched.line_no])
    taken = pd.Series(own.reindex(keys).fillna(0).to_numpy().astype("int64"), touched.index)
    taken = taken.clip(upper=touched.amount)
    rest = (touched.amount - taken) // CENT
    total = rest.groupby(touched.order_id).transform("sum")
    asked = touched.order_id.map(whole).fillna(0).astype("int64") // CENT
    give = np.minimum(asked, total)
    share = rest * give // total.clip(lower=1)
    remain = rest * give % total.clip(lower=1)
    short = give - share.groupby(touched.order_id).transform("sum")
    ranked = pd.DataFrame({"order": touched.order_id, "remain": -remain, "line": touched.line_no})
    place = ranked.sort_values(["order", "remain", "line"]).groupby("order").cumcount()
    share += (place.reindex(share.index) < short).astype("int64")
    return (taken + share * CENT).reindex(lines.index).fillna(0).astype("int64")


def _lines(lines: pd.DataFrame, since: dict[object, int]) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for days in (90, 365):
        recent = lines[lines.placed_at >= since[days]]
        by = recent.groupby("ordinal")
        grocery = recent[recent.category == "category 000"]
        columns[f"grocery_spend_{days}"] = grocery.groupby("ordinal").net.sum()
        columns[f"units_{days}"], columns[f"lines_{days}"] = by.quantity.sum(), by.size()
    columns["line_largest"], columns["line_net_365"] = by.amount.max(), by.net.sum()
    columns["skus"], columns["categories"] = by.sku.nunique(), by.category.nunique()
    home = lines[lines.category.isin(["category 001", "category 002"])]
    columns["home_share_365"] = home.groupby("ordinal").net.sum()
    return pd.DataFrame(columns)


def _reaches(found: pd.DataFrame, metric: str, least: str) -> pd.Series:
    if metric in FRACTIONS:
        unit = MONEY if metric.startswith("basket") else 1
        bound = round(float(least) * 10) * unit * found[FRACTIONS[metric]]
        return (found[metric] * 10 >= bound).fillna(False).astype(bool)
    unit = 1 if metric.split("_")[0] in ("orders", "active", "skus", "store") else MONEY
    return found[metric] >= int(least) * unit


def _verdicts(found: pd.DataFrame) -> pd.DataFrame:
    spend, total = found.spend_365, found.total_spend
    columns: dict[str, Any] = {}
    layers = np.select([spend >= 2000 * MONEY, spend >= 500 * MONEY], ["high", "middle"], "low")
    columns["value"] = layers
    ranked = np.sort(total.to_numpy())
    cuts = [ranked[len(ranked) * share // 100] for share in (20, 40, 60, 80)]
    fifth = np.searchsorted(cuts, total.to_numpy(), side="right")
    columns["quintile"] = np.array(["q1", "q2", "q3", "q4", "q5"])[fifth]
    for group, metric, least in TAGS:
        yes = _reaches(found, metric, least)
        columns[group] = np.select([yes, found.orders_180 >= 1], ["yes", "no"], "")
    for number in range(SEGMENTS):
        kind, turn = number % 4, number // 4
        if kind == 0:
            rule = (found[f"spend_{WINDOWS[turn % 4]}"] >= (50 + 10 * turn) * MONEY) & (
                (found.recency <= 20 + turn).fillna(False)
                | (found.promo_365 * 4 < spend).fillna(False)
            )
        elif kind == 1:
            rule = (
                (columns[TAGS[turn % len(TAGS)][0]] == "yes")
                & (found.orders_365 >= 1 + turn)
                & (found.city_tier == CITY_TIERS[turn % 3]).fillna(False)
            )
        elif kind == 2:
            enough = (found.units_365 >= (20 + 5 * turn) * MONEY) | (fifth == 4)
            rule = (layers != "low") & enough & (found.grocery_spend_90 >= turn * MONEY)
        else:
            rule = columns[f"s{number - 1 - turn % 3:03d}"] & ~np.isin(fifth, [1, 2])
        columns[f"s{number:03d}"] = np.asarray(rule, dtype=bool)
    for key, metric, bounds in PROGRAMS:
        columns[key] = sum(_reaches(found, metric, least).astype("int8") for least in bounds)
    return pd.concat([found, pd.DataFrame(columns, index=found.index)], axis=1)
