"""What the large benchmarks compute: 50 metrics, 10 tag groups, 100 segments, 2 programs.

One metric in five is of order lines, three count distinct values; every fourth segment is nested.
`document` is the contract's format; `by_hand.py` has the same figures as SQL written by hand.
"""

from __future__ import annotations

from typing import Any

WINDOWS = (30, 90, 180, 365)
CITY_TIERS = ("first", "second", "third")
# Rule tags: group, metric, least figure of "yes"; "no" is everybody with an order in 180 days.
TAGS = (
    ("promo_lover", "promo_180", "0.6"),
    ("app_fan", "app_spend_90", "100"),
    ("store_goer", "store_orders_90", "2"),
    ("web_buyer", "web_share_365", "0.3"),
    ("big_baskets", "basket_365", "60"),
    ("grocer", "grocery_spend_365", "5"),
    ("homemaker", "home_share_365", "0.1"),
    ("variety", "skus", "12"),
    ("regular", "active_90", "3"),
)
SHARES = ("promo_30", "promo_90", "promo_180", "promo_365", "web_share_365", "home_share_365")
AVERAGES = ("basket_90", "basket_365")
SEGMENTS = 100
# Least figures of the three tiers.
PROGRAMS = (
    ("club", "spend_180", ("500", "1200", "2400")),
    ("circle", "orders_365", ("6", "15", "40")),
)
RANKS = ("bronze", "silver", "gold")


def _metric(key: str, unit: str, fn: str, window: dict[str, Any], **more: Any) -> dict[str, Any]:
    source = more.pop("source", "orders")
    narrowed = more.pop("filter", None)
    metric = {"key": key, "unit": unit, "source": source, "window": window,
              "aggregate": {"fn": fn, **more}}  # fmt: skip
    return metric | ({"filter": narrowed} if narrowed else {})


def _is(field: str, value: object) -> dict[str, Any]:
    return {"field": field, "cmp": "eq", "value": value}


def metrics() -> list[dict[str, Any]]:
    found = []
    for days in WINDOWS:
        window = {"days": days, "to_now": True}
        promo = {"field": "net_amount", "where": _is("is_promotion", True)}
        large = {"field": "net_amount", "cmp": "gte", "value": 100}
        found += [
            _metric(f"spend_{days}", "money", "sum", window, field="net_amount"),
            _metric(f"orders_{days}", "count", "count", window),
            _metric(f"promo_{days}", "ratio", "share", window, **promo),
            _metric(f"active_{days}", "days", "active_days", window),
            _metric(f"big_orders_{days}", "count", "count", window, filter=large),
        ]
    for days in (90, 365):
        window = {"days": days, "to_now": True}
        lines: dict[str, Any] = {"source": "order_lines"}
        grocery = {"filter": _is("category", "category 000"), **lines}
        app = _is("channel", "app")
        found += [
            _metric(f"app_spend_{days}", "money", "sum", window, field="net_amount", filter=app),
            _metric(f"store_orders_{days}", "count", "count", window,
                    filter=_is("channel", "store")),
            _metric(f"basket_{days}", "money", "avg", window, field="net_amount"),
            _metric(f"largest_{days}", "money", "max", window, field="net_amount"),
            _metric(f"saved_{days}", "money", "sum", window, field="discount"),
            _metric(f"grocery_spend_{days}", "money", "sum", window, field="net_amount",
                    **grocery),
            _metric(f"units_{days}", "count", "sum", window, field="quantity", **lines),
            _metric(f"lines_{days}", "count", "count", window, **lines),
        ]  # fmt: skip
    year = {"days": 365, "to_now": True}
    web = {"field": "net_amount", "where": _is("channel", "web")}
    homely = {"field": "category", "cmp": "in", "value": ["category 001", "category 002"]}
    home = {"field": "net_amount", "where": homely, "source": "order_lines"}
    return [
        *found,
        _metric("smallest", "money", "min", year, field="amount"),
        _metric("stores", "count", "count_distinct", year, field="store_id"),
        _metric("recency", "days", "days_since_last", {"all": True}),
        _metric("first", "days", "days_since_first", {"all": True}),
        _metric("total_spend", "money", "sum", {"all": True}, field="net_amount"),
        _metric("total_orders", "count", "count", {"all": True}),
        _metric("gross", "money", "sum", year, field="amount"),
        _metric("web_share_365", "ratio", "share", year, **web),
        _metric("months_12", "money", "sum", {"months": 12, "to_now": True}, field="net_amount"),
        _metric("this_year", "money", "sum", {"calendar": "year"}, field="net_amount"),
        _metric("skus", "count", "count_distinct", year, field="sku", source="order_lines"),
        _metric("categories", "count", "count_distinct", year, field="category",
                source="order_lines"),
        _metric("line_largest", "money", "max", year, field="amount", source="order_lines"),
        _metric("home_share_365", "ratio", "share", year, **home),
    ]  # fmt: skip


def _tag(group: str, metric: str, least: str) -> dict[str, Any]:
    return {
        "group": group,
        "exclusive": True,
        "rules": [
            {"value": "yes", "rule": {"metric": metric, "cmp": "gte", "value": least}},
            {"value": "no", "rule": {"metric": "orders_180", "cmp": "gte", "value": 1}},
        ],
    }


def _segment(number: int) -> dict[str, Any]:
    """Four kinds in turn: figures, tags, layers and lines, and one nested in the one before."""
    kind, turn = number % 4, number // 4
    if kind == 0:
        metric = f"spend_{WINDOWS[turn % 4]}"
        rule = {"all": [
            {"metric": metric, "cmp": "gte", "value": 50 + 10 * turn},
            {"any": [{"metric": "recency", "cmp": "lte", "value": 20 + turn},
                     {"metric": "promo_365", "cmp": "lt", "value": "0.25"}]},
        ]}  # fmt: skip
    elif kind == 1:
        rule = {"all": [
            {"tag": TAGS[turn % len(TAGS)][0], "cmp": "in", "value": ["yes"]},
            {"metric": "orders_365", "cmp": "gte", "value": 1 + turn},
            {"tag": "city_tier", "cmp": "in", "value": [CITY_TIERS[turn % 3]]},
        ]}  # fmt: skip
    elif kind == 2:
        rule = {"all": [
            {"layer": "value", "cmp": "in", "value": ["middle", "high"]},
            {"any": [{"metric": "units_365", "cmp": "gte", "value": 20 + 5 * turn},
                     {"layer": "quintile", "cmp": "in", "value": ["q5"]}]},
            {"metric": "grocery_spend_90", "cmp": "gte", "value": turn},
        ]}  # fmt: skip
    else:
        rule = {"all": [
            {"segment": _key(number - 1 - turn % 3), "cmp": "member"},
            {"not": {"layer": "quintile", "cmp": "in", "value": ["q2", "q3"]}},
        ]}  # fmt: skip
    return {"key": _key(number), "purpose": "service", "visibility": "internal", "rule": rule}


def _key(number: int) -> str:
    return f"s{number:03d}"


def catalog() -> dict[str, Any]:
    """Everything but programs."""
    quintiles = ["q1", "q2", "q3", "q4", "q5"]
    stored = {"group": "city_tier", "exclusive": True, "values": list(CITY_TIERS)}
    return {
        "metrics": metrics(),
        "tags": [stored, *(_tag(*tag) for tag in TAGS)],
        "layerings": [
            {"key": "value", "metric": "spend_365", "cuts": ["500", "2000"],
             "layers": ["low", "middle", "high"]},
            {"key": "quintile", "metric": "total_spend",
             "cuts": {"percentiles": [20, 40, 60, 80]}, "layers": quintiles},
        ],
        "segments": [_segment(number) for number in range(SEGMENTS)],
    }  # fmt: skip


def programs() -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "label": {"en": key.title(), "zh-hans": "俱乐部" if key == "club" else "圈子"},
            "version": {
                "effective_from": "2025-01-01",
                "qualification": {"period": "rolling"},
                "upgrade": "immediate",
                "keep_for": {"months": 3},
                "grace": {"days": 30},
                "downgrade": "one_level",
                "tiers": [
                    {"key": tier, "rank": rank,
                     "rule": {"metric": metric, "cmp": "gte", "value": least}}
                    for rank, (tier, least) in enumerate(zip(RANKS, bounds, strict=True), 1)
                ],
            },
        }
        for key, metric, bounds in PROGRAMS
    ]  # fmt: skip


def document() -> dict[str, Any]:
    return {**catalog(), "programs": programs()}
