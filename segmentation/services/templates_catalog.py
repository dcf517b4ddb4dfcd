"""The templates that come with Tierwise."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from .templates_shapes import Definition, Parameter, Template, Values, at, metric, segment

_YEAR = Decimal(3650)
_DAYS = _("days")


def _days(name: str, label: Any, default: int) -> Parameter:
    return Parameter(name, label, "whole", str(default), _DAYS, Decimal(1), _YEAR)


def _since_order(key: str) -> Definition:
    return metric(
        f"{key}_days_since_order", "Days since the last order", "距上次下单天数",
        unit="days", window={"all": True}, fn="days_since_last", value_kind="activity",
    )  # fmt: skip


def _spend(key: str, days: str) -> Definition:
    return metric(
        f"{key}_spend", f"Spend, last {days} days, today included", f"最近{days}天（含今天）消费额",
        unit="money", window={"days": int(days), "to_now": True}, fn="sum", field="net_amount",
        value_kind="history",
    )  # fmt: skip


def _orders(key: str, days: str) -> Definition:
    return metric(
        f"{key}_orders", f"Orders, last {days} days, today included",
        f"最近{days}天（含今天）订单数",
        unit="count", window={"days": int(days), "to_now": True}, fn="count",
        value_kind="activity",
    )  # fmt: skip


def _rfm(values: Values) -> tuple[Definition, ...]:
    key, days = values["key"], values["days"]
    rule = {
        "all": [
            at("metric", f"{key}_days_since_order", "lte", values["recency"]),
            at("metric", f"{key}_orders", "gte", values["frequency"]),
            at("metric", f"{key}_spend", "gte", values["money"]),
        ]
    }
    return (
        _since_order(key), _orders(key, days), _spend(key, days),
        segment(key, "RFM corner: recent, frequent, high spend", "RFM 重要价值用户",
                purpose="retention", rule=rule),
    )  # fmt: skip


def _dormant(values: Values) -> tuple[Definition, ...]:
    key = values["key"]
    since = at("metric", f"{key}_days_since_order", "between", [values["from"], values["to"]])
    return (
        _since_order(key),
        segment(
            key, "Dormant, to win back", "沉睡唤醒", purpose="retention", rule={"all": [since]}
        ),
    )


def _birthday(values: Values) -> tuple[Definition, ...]:
    month = values["month"]
    rule = {"all": [at("attr", "birth_month", "eq", month)]}
    made = segment(
        values["key"],
        f"Birthday in month {month}",
        f"{month}月生日月",
        purpose="service",
        rule=rule,
    )
    return (made,)


def _registered(values: Values) -> tuple[Definition, ...]:
    days = values["days"]
    rule = {"all": [at("attr", "days_since_registered", "lt", days)]}
    made = segment(
        values["key"],
        f"New customers, {days} days",
        f"新客{days}天",
        purpose="acquisition",
        rule=rule,
    )
    return (made,)


def _first_order(values: Values) -> tuple[Definition, ...]:
    key, days = values["key"], values["days"]
    first = metric(
        f"{key}_days_since_first", "Days since the first order", "距首单天数",
        unit="days", window={"all": True}, fn="days_since_first", value_kind="activity",
    )  # fmt: skip
    rule = {"all": [at("metric", f"{key}_days_since_first", "lt", days)]}
    made = segment(
        key, f"New buyers, {days} days", f"首购{days}天内新客", purpose="acquisition", rule=rule
    )
    return first, made


def _lapsing(values: Values) -> tuple[Definition, ...]:
    key, days = values["key"], values["days"]
    rule = {
        "all": [
            at("metric", f"{key}_spend", "gte", values["money"]),
            at("metric", f"{key}_days_since_order", "gt", values["quiet"]),
        ]
    }
    return (
        _spend(key, days), _since_order(key),
        segment(key, "High value, lapsing", "高价值流失预警", purpose="retention", rule=rule),
    )  # fmt: skip


def _promotion(values: Values) -> tuple[Definition, ...]:
    key, days = values["key"], values["days"]
    share = metric(
        f"{key}_share", f"Share of spend in promotions, past {days} days",
        f"过去{days}天（不含今天）促销消费占比", unit="ratio", window={"days": int(days)},
        fn="share", field="net_amount", where={"field": "is_promotion", "cmp": "eq", "value": True},
    )  # fmt: skip
    orders = _orders(key, days)
    enough = at("metric", f"{key}_orders", "gte", values["orders"])
    loves = at("metric", f"{key}_share", "gte", values["share"])
    tag = {
        "group": key,
        "label": {"en": "Promotion lover", "zh-hans": "促销偏好"},
        "exclusive": True,
        "sensitive": False,
        "public": False,
        "rules": [
            {"value": "yes", "rule": {"all": [loves, enough]}},
            {"value": "no", "rule": {"all": [enough]}},
        ],
    }
    return share, orders, ("tag", tag)


def _once(values: Values) -> tuple[Definition, ...]:
    key = values["key"]
    ever = metric(
        f"{key}_orders_ever", "Orders ever", "累计订单数",
        unit="count", window={"all": True}, fn="count", value_kind="activity",
    )  # fmt: skip
    rule = {
        "all": [
            at("metric", f"{key}_orders_ever", "eq", "1"),
            at("metric", f"{key}_days_since_order", "gt", values["quiet"]),
        ]
    }
    return (
        ever, _since_order(key),
        segment(key, "Bought once, not again", "一次购买未复购", purpose="promotion", rule=rule),
    )  # fmt: skip


def _referrers(values: Values) -> tuple[Definition, ...]:
    key, months = values["key"], int(values["months"])
    buyers = metric(
        f"{key}_buyers", f"New buyers brought, past {months} months",
        f"过去{months}个月带来的新购客",
        unit="count", source="referrals", window={"months": months}, fn="count",
        converted_within_days=30, value_kind="referral",
    )  # fmt: skip
    rule = {"all": [at("metric", f"{key}_buyers", "gte", values["buyers"])]}
    return buyers, segment(key, "Bring new buyers", "转介绍达人", purpose="promotion", rule=rule)


_SPEND = Parameter("money", _("spend at least"), "amount", "2000")
TEMPLATES: tuple[Template, ...] = (
    Template(
        "rfm_corner", "RFM corner", "RFM 重要价值用户",
        _("Bought lately, often and for much: the customers to keep first."),
        "diamond", ("orders",), _rfm,
        (_days("recency", _("last order at most this long ago"), 30),
         Parameter("frequency", _("orders at least"), "whole", "4", "", Decimal(1)), _SPEND,
         _days("days", _("counted over the last"), 365)),
    ),
    Template(
        "dormant", "Dormant win-back", "沉睡唤醒",
        _("Bought before, but not for a while: worth a reason to come back."),
        "bedtime", ("orders",), _dormant,
        (_days("from", _("no order for at least"), 90), _days("to", _("and for at most"), 365)),
    ),
    Template(
        "birthday_month", "Birthday month", "生日月",
        _("Whose birthday is in one month of the year; make one for each month you greet."),
        "cake", ("birth_date",), _birthday,
        (Parameter("month", _("month"), "whole", "1", "", Decimal(1), Decimal(12)),),
    ),
    Template(
        "new_customers", "New customers, 90 days", "新客90天",
        _("Registered lately, whether they bought or not."),
        "person_add", ("registered_at",), _registered, (_days("days", _("registered within"), 90),),
    ),
    Template(
        "new_buyers", "New buyers, 90 days", "首购90天",
        _("Placed the first order lately."),
        "shopping_bag", ("orders",), _first_order, (_days("days", _("first order within"), 90),),
    ),
    Template(
        "high_value_lapsing", "High value, lapsing", "高价值流失预警",
        _("Spent much, and is quiet now: act before they are gone."),
        "trending_down", ("orders",), _lapsing,
        (_SPEND, _days("days", _("counted over the last"), 365),
         _days("quiet", _("no order for more than"), 60)),
    ),
    Template(
        "promotion_lovers", "Promotion lovers", "促销偏好",
        _("A tag: buys mostly while there is a promotion."),
        "sell", ("orders", "is_promotion"), _promotion,
        (Parameter("share", _("share of spend at least"), "share", "0.6", high=Decimal(1)),
         Parameter("orders", _("orders at least"), "whole", "3", "", Decimal(1)),
         _days("days", _("counted over the past"), 180)),
    ),
    Template(
        "bought_once", "Bought once", "一次购买未复购",
        _("One order, and then none: the second purchase is the hardest."),
        "looks_one", ("orders",), _once, (_days("quiet", _("no order for more than"), 30),),
    ),
    Template(
        "referrers", "Bring new buyers", "转介绍达人",
        _("Whose referrals became buyers."),
        "diversity_3", ("referrals",), _referrers,
        (Parameter("buyers", _("new buyers at least"), "whole", "1", "", Decimal(1)),
         Parameter("months", _("counted over the past"), "whole", "12", _("months"), Decimal(1),
                   Decimal(120))),
    ),
)  # fmt: skip
_BY_NAME = {template.name: template for template in TEMPLATES}


def template_named(name: str) -> Template | None:
    """The template, or None."""
    return _BY_NAME.get(name)
