"""A shop with a real run behind it: every endpoint has something to answer."""

from __future__ import annotations

from typing import Any

from segmentation.models import Run
from tests.fixtures.world import CLUB, World

TAGS: list[dict[str, Any]] = [
    {"group": "taste", "exclusive": False, "public": True, "values": ["sweet", "salty"]},
    {
        "group": "buyer", "exclusive": True, "public": True,
        "rules": [{"value": "big", "rule": {"metric": "spend", "cmp": "gte", "value": 500}}],
    },
]  # fmt: skip


def make_running_shop(*, customers: int, copies: int) -> Run:
    """`customers` with an order each, one too small for the club; `copies` of each segment and
    program; two runs. Needs a VAR_DIR of the test's own and real transactions."""
    world = World()
    segments = [
        {**segment, "key": f"{segment['key']}{_end(number)}"}
        for segment in CLUB["segments"]
        for number in range(copies)
    ]
    programs = [{**CLUB["programs"][0], "key": f"club{_end(number)}"} for number in range(copies)]
    world.apply({**CLUB, "tags": TAGS, "segments": segments, "programs": programs})
    world.record(
        "customers",
        *(
            {"customer_id": f"C{number}", "phone": "13812345678", "tag:taste": "sweet"}
            for number in range(customers)
        ),
    )
    world.record(
        "orders",
        *(
            {"order_id": f"O{number}", "customer_id": f"C{number}",
             "amount": "50" if number == 1 else "1200", "placed_at": "2026-01-20T10:00"}
            for number in range(customers)
        ),
    )  # fmt: skip
    world.run("2026-02-01")
    return world.run("2026-02-02")


def _end(number: int) -> str:
    return f"_{number}" if number else ""
