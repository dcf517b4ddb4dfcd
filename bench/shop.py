"""A shop in PostgreSQL for the benchmark of pages: customers, orders, definitions, published runs.

Rows are written with bare SQL and COPY, as an import would leave them; mirror, runs, memberships
and transitions are made by the product's own code. The same size gives the same rows.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from generate import AS_OF, CHANNELS, STATUSES, ZONE, Size, parts
from small_definitions import catalog_document

STORES = 119
FIRST_AS_OF = datetime(2025, 12, 1, 5, tzinfo=UTC)
_ORDER = ("batch_id", "external_id", "customer_id", "placed_at", "amount", "discount", "channel",
          "is_promotion", "status", "store_id", "currency")  # fmt: skip
_CUSTOMERS = """
INSERT INTO segmentation_customer
       (batch_id, external_id, ordinal, is_stub, name, phone, email, home_store, city, channel,
        gender, registered_at, consent_marketing)
SELECT %(batch)s, 'C' || i, i, FALSE,
       (array['Rowan', 'Li Lei', 'Han Meimei', 'Noor', 'Ada', 'Kofi', 'Yara'])[1 + i %% 7]
           || ' ' || i,
       '138' || lpad(((i::bigint * 7919) %% 100000000)::text, 8, '0'), 'c' || i || '@example.com',
       'S' || (1 + i %% %(stores)s), (array['Hangzhou', 'Chengdu', 'Xiamen'])[1 + i %% 3], 'app',
       (array['female', 'male'])[1 + i %% 2], timestamptz '2023-01-01 00:00+00'
           + (i %% 700) * interval '1 day', i %% 3 > 0
  FROM generate_series(0, %(last)s) i ORDER BY i
"""


def make_shop(size: Size) -> None:
    """Everything in the database that the connection leads to; two published runs."""
    from django.db import connection

    told("installation and definitions", lambda: install(_document()))
    told("customers", lambda: customers(size.customers))
    told("orders", lambda: _orders(size))
    for as_of in (FIRST_AS_OF, AS_OF):
        told(f"run of {as_of:%Y-%m-%d}", lambda as_of=as_of: run_at(as_of))  # type: ignore[misc]
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def told(what: str, make: Callable[[], object]) -> None:
    started = time.perf_counter()
    make()
    sys.stderr.write(f"{what}: {time.perf_counter() - started:.0f} s\n")
    sys.stderr.flush()


def install(document: dict[str, Any]) -> None:
    from config.clock import real_now
    from membership.services.applying import apply_document
    from segmentation.models import Installation

    # The project's clock stands where the facts end.
    Installation.objects.create(
        pk=1, time_zone=ZONE, base_currency="USD", set_up_at=real_now(), clock_start=AS_OF
    )
    apply_document(document, actor="bench", reason="bench", now=real_now())


def _document() -> dict[str, Any]:
    """The definitions of the engine's benchmark, every fifth segment hidden, and a program."""
    document: dict[str, Any] = dict(catalog_document())
    for number, segment in enumerate(document["segments"]):
        if number % 5 == 4 and number % 4 != 3:  # nothing internal builds on it
            segment["visibility"] = "hidden"
    hidden = {each["key"] for each in document["segments"] if each["visibility"] == "hidden"}
    for segment in document["segments"]:
        if any(key in str(segment["rule"]) for key in hidden):
            segment["visibility"] = "hidden"
    rule = {"metric": "spend_180", "cmp": "gte"}
    tiers = [
        {"key": key, "rank": rank, "rule": {**rule, "value": least}}
        for rank, key, least in ((1, "bronze", 100), (2, "silver", 400), (3, "gold", 1500))
    ]
    document["programs"] = [
        {
            "key": "club",
            "label": {"en": "Club", "zh-hans": "俱乐部"},
            "version": {
                "effective_from": "2025-01-01",
                "qualification": {"period": "rolling"},
                "upgrade": "immediate",
                "keep_for": {"months": 3},
                "grace": {"days": 30},
                "downgrade": "one_level",
                "tiers": tiers,
            },
        }
    ]
    return document


def make_batch(kind: str, rows: int) -> int:
    from config.clock import real_now
    from segmentation.models import FactBatch

    made = FactBatch.objects.create(
        kind=kind, source="import", actor="bench", file_name=f"{kind}.csv",
        recorded_at=real_now(), read=rows, inserted=rows,
    )  # fmt: skip
    return int(made.pk)


def customers(number: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        values = {"batch": make_batch("customers", number), "last": number - 1, "stores": STORES}
        cursor.execute(_CUSTOMERS, values)
        cursor.execute("SELECT min(id), max(id) FROM segmentation_customer")
        assert cursor.fetchone() == (1, number)
        cursor.execute("ANALYZE segmentation_customer")


def _orders(size: Size) -> None:
    from django.db import connection

    batch = make_batch("orders", size.orders)
    for part in parts(size, seed=1):
        count = len(part.amount)
        cents = np.char.zfill((part.amount // 100).astype(str), 3)
        table = pa.table(
            {
                "batch_id": pa.array(np.full(count, batch)),
                "external_id": pa.array(
                    np.char.add("O", (part.first_order + np.arange(count)).astype(str))
                ),
                "customer_id": pa.array(part.ordinal + 1),
                "placed_at": pa.array(
                    np.char.add(
                        np.datetime_as_string(part.placed_at.astype("datetime64[us]"), unit="s"),
                        "Z",
                    )
                ),
                "amount": pa.array([f"{text[:-2]}.{text[-2:]}" for text in cents.tolist()]),
                "discount": pa.array(np.zeros(count, np.int64)),
                "channel": pa.array(CHANNELS[part.channel]),
                "is_promotion": pa.array(np.where(part.discount > 0, "true", "false")),
                "status": pa.array(STATUSES[part.status]),
                "store_id": pa.array(np.char.add("S", part.store.astype(str))),
                "currency": pa.array(np.full(count, "USD")),
            }
        )
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            pa_csv.write_csv(table, file.name, pa_csv.WriteOptions(include_header=False))
            columns = ", ".join(_ORDER)
            with (
                connection.cursor() as cursor,
                Path(file.name).open("rb") as stream,
                cursor.copy(f"COPY segmentation_order ({columns}) FROM STDIN (FORMAT csv)") as copy,
            ):
                while block := stream.read(1 << 20):
                    copy.write(block)


def run_at(as_of: datetime) -> Any:
    """The run of `as_of`, published."""
    from config.clock import real_now
    from membership.services.recompute import execute_next_run, request_run
    from segmentation.models import Run

    request_run(as_of=as_of, actor="bench", now=real_now())
    done = execute_next_run(clock=real_now)
    assert done is not None, "no run was to be had"
    assert done.status == Run.Status.PUBLISHED, done.error
    return done
