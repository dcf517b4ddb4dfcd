"""How many facts of each source a run sees per local day."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from segmentation.domain.windows import local_midnight

from .local_days import micros

_FIRST = date(1970, 1, 1)
# Source -> the column of the mirror with its local day; lines come with their orders.
_DAYS = {"orders": "placed_day", "events": "occurred_day", "referrals": "occurred_day"}
SOURCES = ("orders", "refunds", "events", "referrals")


def facts_per_day(
    duck: duckdb.DuckDBPyConnection, days: Collection[date], *, zone: ZoneInfo
) -> dict[str, dict[date, int]]:
    """Facts by source and local day, 0 included; one query a source.

    Reads the views of `engine/facts.py`: orders count on the day they were placed, without those
    that count nowhere.
    """
    return {source: _counted(duck, source, sorted(set(days)), zone) for source in SOURCES}


def _counted(
    duck: duckdb.DuckDBPyConnection, source: str, days: list[date], zone: ZoneInfo
) -> dict[date, int]:
    if not days:
        return {}
    found = dict.fromkeys(days, 0)
    if source == "refunds":  # the mirror keeps their instant only
        rows = _refunds(duck, days, zone)
    else:
        column = _DAYS[source]
        listed = ", ".join(str((day - _FIRST).days) for day in days)
        rows = duck.execute(
            f"SELECT {column}, count(*) FROM {source} WHERE {column} IN ({listed}) GROUP BY 1"
        ).fetchall()
    return found | {_FIRST + timedelta(days=int(number)): int(count) for number, count in rows}


def _refunds(
    duck: duckdb.DuckDBPyConnection, days: list[date], zone: ZoneInfo
) -> list[tuple[int, int]]:
    spans = {
        "day": [(day - _FIRST).days for day in days],
        "since": [micros(local_midnight(day, zone)) for day in days],
        "until": [micros(local_midnight(day + timedelta(days=1), zone)) for day in days],
    }
    duck.register("spans", pa.table({name: pa.array(v, pa.int64()) for name, v in spans.items()}))
    rows = duck.execute(
        "SELECT s.day, count(*) FROM refunds r JOIN spans s"
        " ON r.refunded_at >= s.since AND r.refunded_at < s.until"
        f" WHERE r.refunded_at >= {spans['since'][0]} AND r.refunded_at < {spans['until'][-1]}"
        " GROUP BY 1"
    ).fetchall()
    duck.unregister("spans")
    return rows
