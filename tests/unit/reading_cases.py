"""What the tests of the definitions document share: the contract's sample and a judge of text."""

from __future__ import annotations

from dataclasses import replace

from membership.domain.candidates import Stored, build_candidate, judge, warnings_of
from membership.domain.documents import Source, in_order, read_sources
from segmentation.domain.errors import Problem

ZONE = "Asia/Shanghai"

SAMPLE = """
tags:
  - {group: city_tier, label: {en: City tier, zh-hans: 城市等级}, exclusive: true, sensitive: false, public: false, values: [first, second, third]}
  - group: promo_lover
    exclusive: true
    rules:
      - {value: "yes", rule: {metric: promo_share_180d, cmp: gte, value: "0.6"}}
      - {value: "no",  rule: {metric: orders_180d, cmp: gte, value: 1}}
metrics:
  - key: net_spend_365d
    source: orders
    aggregate: {fn: sum, field: net_amount}
    window: {days: 365, to_now: true}
    time: placed_at
    filter: {all: [{field: channel, cmp: in, value: [app, store]}]}
    unit: money
    value_kind: history
  - {key: promo_share_180d, source: orders, window: {days: 180}, unit: ratio, aggregate: {fn: share, field: net_amount, where: {field: is_promotion, cmp: eq, value: true}}}
  - {key: orders_180d, source: orders, aggregate: {fn: count}, window: {days: 180}, unit: count}
  - {key: days_since_order, source: orders, aggregate: {fn: days_since_last}, window: {all: true}, unit: days}
  - {key: reviews_365d, source: events, aggregate: {fn: count}, window: {days: 365}, unit: count, filter: {field: name, cmp: eq, value: review}}
  - {key: referred_buyers, source: referrals, aggregate: {fn: count, converted_within_days: 30}, window: {months: 12}, unit: count}
  - {key: growth_value, unit: count, formula: {sum: [{metric: net_spend_365d, times: "1"}, {metric: reviews_365d, times: "20", cap: "500"}]}}
layerings:
  - {key: value_layer, metric: net_spend_365d, cuts: ["500", "2000"], layers: [low, middle, high]}
  - {key: spend_quintile, metric: net_spend_365d, cuts: {percentiles: [20, 40, 60, 80]}, layers: [q1, q2, q3, q4, q5]}
segments:
  - {key: app_users, purpose: service, visibility: internal, rule: {attr: channel, cmp: eq, value: app}}
  - key: lapsing_high_value
    label: {en: Lapsing high value, zh-hans: 高价值流失预警}
    purpose: retention
    visibility: hidden
    rule:
      all:
        - {layer: value_layer, cmp: in, value: [high]}
        - {metric: days_since_order, cmp: gt, value: 60}
        - not: {tag: city_tier, cmp: in, value: [third]}
        - any: [{segment: app_users, cmp: member}, {attr: channel, cmp: eq, value: app}]
programs:
  - key: gold
    label: {en: Gold Club, zh-hans: 金卡会员}
    timezone: Asia/Shanghai
    version:
      effective_from: 2017-01-01
      qualification: {period: rolling}
      upgrade: immediate
      keep_for: {months: 12}
      grace: {days: 30}
      downgrade: one_level
      tiers:
        - {key: silver, rank: 1, rule: {metric: net_spend_365d, cmp: gte, value: "2000"}}
        - {key: gold,   rank: 2, rule: {metric: net_spend_365d, cmp: gte, value: "10000"}}
"""  # noqa: E501


def stored(text: str = SAMPLE) -> Stored:
    """The definitions of a valid text as if they were stored; one list is hidden, one is not."""
    reading = read_sources([Source("stored.yaml", text)], project_zone=ZONE)
    assert reading.problems == ()
    return Stored(
        living={ref: replace(e, source=None) for ref, e in reading.patch.items()},
        lists={"vip_list": False, "quiet_list": True},
    )


def problems(text: str, *, on: Stored | None = None, zone: str = ZONE) -> list[Problem]:
    """Every problem of applying `text` on top of stored definitions (default: the sample)."""
    base = stored() if on is None else on
    sources = [Source("patch.yaml", text)]
    reading = read_sources(sources, project_zone=zone)
    candidate = build_candidate(base, reading.patch)
    judged = judge(candidate, stored=base, patch=reading.patch, project_zone=zone)
    return list(in_order([*reading.problems, *judged], sources))


def codes(text: str, *, on: Stored | None = None, zone: str = ZONE) -> list[tuple[str, str]]:
    """The problems as (path, code)."""
    return [(problem.path, problem.code) for problem in problems(text, on=on, zone=zone)]


def warnings(text: str) -> list[tuple[str, str]]:
    """The warnings of applying `text` on top of the sample, as (path, code)."""
    sources = [Source("patch.yaml", text)]
    reading = read_sources(sources, project_zone=ZONE)
    candidate = build_candidate(stored(), reading.patch)
    found = in_order([*reading.warnings, *warnings_of(candidate, reading.patch)], sources)
    return [(warning.path, warning.code) for warning in found]


def segment(rule: str, *, purpose: str = "research", visibility: str = "internal") -> str:
    """A document with one segment `s`; its rule is in YAML's flow style."""
    return f"segments: [{{key: s, purpose: {purpose}, visibility: {visibility}, rule: {rule}}}]"


def metric(fields: str) -> str:
    """A document with one metric `m`; the fields in YAML's flow style."""
    return f"metrics: [{{key: m, {fields}}}]"


def segments_document(**edges: str) -> str:
    """A document with segments by key that use those named, separated by blanks."""
    items = [
        f"{{key: {key}, purpose: service, visibility: internal, rule: {{any: ["
        + ", ".join(f"{{segment: {used}, cmp: member}}" for used in uses.split())
        + "]}}"
        for key, uses in edges.items()
    ]
    return f"segments: [{', '.join(items)}]"
