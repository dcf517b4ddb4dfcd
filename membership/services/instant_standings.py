"""The values the instant path found, so that a member's gap is as fresh as the tier."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction

import duckdb
from django.db import connection

from membership.models import InstantStanding
from segmentation.engine.plan import CompiledPlan
from segmentation.engine.snapshots import exact_metric

_KEEP = """
INSERT INTO membership_instantstanding (customer_id, as_of, metrics)
SELECT k.id, %(as_of)s, v.metrics FROM jsonb_to_recordset(%(rows)s::jsonb)
  AS v (ordinal bigint, metrics jsonb) JOIN segmentation_customer k ON k.ordinal = v.ordinal
  AND k.erased_at IS NULL
ON CONFLICT (customer_id) DO UPDATE SET as_of = EXCLUDED.as_of, metrics = EXCLUDED.metrics
"""


def keep_standings(duck: duckdb.DuckDBPyConnection, plan: CompiledPlan, *, as_of: datetime) -> None:
    """Keep every metric of the plan for the customers in `verdicts`."""
    if not plan.catalog.metrics:
        return
    rows = [
        {
            "ordinal": row["ordinal"],
            "metrics": {
                key: _pair(exact_metric(row, plan.shapes[key], key)) for key in plan.catalog.metrics
            },
        }
        for row in duck.sql("SELECT * FROM verdicts").to_arrow_table().to_pylist()
    ]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, {"as_of": as_of, "rows": json.dumps(rows)})


def standing_values(customer_id: int, *, since: datetime) -> Mapping[str, Fraction | None]:
    """The customer's metrics that the instant path found since the run of the as-of `since` was
    published; empty if it did not look.

    Publishing removes what was found up to the as-of: what is there at the same one came later.
    """
    found = InstantStanding.objects.filter(customer_id=customer_id, as_of__gte=since).first()
    if found is None:
        return {}
    return {
        key: None if pair is None else Fraction(int(pair[0]), int(pair[1]))
        for key, pair in found.metrics.items()
    }


def _pair(value: Fraction | None) -> list[str] | None:
    # As text: JSON's numbers lose digits in other hands.
    return None if value is None else [str(value.numerator), str(value.denominator)]
