"""The definitions of the shop whose pages are measured: 20 metrics, 20 segments."""

from __future__ import annotations

WINDOWS = (30, 90, 180, 365)


def catalog_document() -> dict[str, object]:
    """The definitions, in the format of the contract."""
    metrics: list[dict[str, object]] = []
    for days in WINDOWS:
        window = {"days": days, "to_now": True}
        orders = {"source": "orders", "window": window}
        net = {"field": "net_amount"}
        metrics += [
            {"key": f"spend_{days}", "unit": "money", "aggregate": {"fn": "sum", **net}, **orders},
            {"key": f"orders_{days}", "unit": "count", "aggregate": {"fn": "count"}, **orders},
            {
                "key": f"promo_{days}",
                "unit": "ratio",
                "aggregate": {
                    "fn": "share",
                    **net,
                    "where": {"field": "is_promotion", "cmp": "eq", "value": True},
                },
                **orders,
            },
            {"key": f"active_{days}", "unit": "days", "aggregate": {"fn": "active_days"}, **orders},
        ]
    year = {"source": "orders", "window": {"days": 365, "to_now": True}}
    metrics += [
        {
            "key": "basket",
            "unit": "money",
            "aggregate": {"fn": "avg", "field": "net_amount"},
            **year,
        },
        {
            "key": "largest",
            "unit": "money",
            "aggregate": {"fn": "max", "field": "net_amount"},
            **year,
        },
        {
            "key": "stores",
            "unit": "count",
            "aggregate": {"fn": "count_distinct", "field": "store_id"},
            **year,
        },
        {
            "key": "recency",
            "unit": "days",
            "source": "orders",
            "window": {"all": True},
            "aggregate": {"fn": "days_since_last"},
        },
    ]
    segments = [
        {
            "key": f"s{number:02d}",
            "purpose": "service",
            "visibility": "internal",
            "rule": _segment_rule(number),
        }
        for number in range(20)
    ]
    return {
        "metrics": metrics,
        "tags": [
            {
                "group": "promo_lover",
                "exclusive": True,
                "rules": [
                    {"value": "yes", "rule": {"metric": "promo_180", "cmp": "gte", "value": "0.6"}},
                    {"value": "no", "rule": {"metric": "orders_180", "cmp": "gte", "value": 1}},
                ],
            }
        ],
        "layerings": [
            {"key": "value", "metric": "spend_365", "cuts": ["500", "2000"],
             "layers": ["low", "middle", "high"]},
            {"key": "quintile", "metric": "spend_365",
             "cuts": {"percentiles": [20, 40, 60, 80]}, "layers": ["q1", "q2", "q3", "q4", "q5"]},
        ],
        "segments": segments,
    }  # fmt: skip


def _segment_rule(number: int) -> dict[str, object]:
    if number % 4 == 3:
        return {"all": [{"segment": f"s{number - 1:02d}", "cmp": "member"},
                        {"not": {"layer": "value", "cmp": "in", "value": ["low"]}}]}  # fmt: skip
    return {
        "all": [
            {"metric": f"spend_{WINDOWS[number % 4]}", "cmp": "gte", "value": 50 + 10 * number},
            {"any": [{"metric": "recency", "cmp": "lte", "value": 20 + number},
                     {"metric": "promo_365", "cmp": "lt", "value": "0.25"}]},
        ]
    }  # fmt: skip
