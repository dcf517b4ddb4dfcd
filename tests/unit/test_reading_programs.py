"""Programs in a definitions document."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from membership.domain.candidates import Stored, StoredProgram
from membership.domain.documents import Source, read_sources
from membership.domain.programs import Program, ProgramVersion, Term, Tier
from membership.domain.reading import ProgramDraft, applicable_versions
from segmentation.domain.definitions import Label
from segmentation.domain.dependencies import Ref
from segmentation.domain.rules import All, MetricLeaf

from .reading_cases import ZONE, codes, problems, stored, warnings

V = "/programs/0/version"
TIERS = "tiers: [{key: t, rank: 1, rule: {metric: net_spend_365d, cmp: gte, value: 1}}]"


def program(version: str, more: str = "") -> str:
    return f"programs: [{{key: p, {more}version: {{{version}}}}}]"


def read_program(text: str) -> ProgramDraft:
    assert codes(text) == []
    definition = read_sources([Source("", text)], project_zone=ZONE).patch[Ref("program", "p")]
    assert isinstance(definition.definition, ProgramDraft)
    return definition.definition


def test_reads_a_program_with_its_defaults() -> None:
    rule = MetricLeaf("net_spend_365d", "gte", Decimal(1))
    assert read_program(program(f"effective_from: 2017-01-01, {TIERS}")) == ProgramDraft(
        key="p",
        label=Label("p", "p"),
        timezone=ZONE,
        version=ProgramVersion(0, date(2017, 1, 1), (Tier("t", 1, Label("t", "t"), rule),)),
    )


def test_reads_terms_and_sorts_tiers_by_rank() -> None:
    read = read_program(
        program(
            'effective_from: "2017-01-01", keep_for: {years: 1, months: 2}, grace: {days: 0}, '
            "downgrade: by_value, tiers: [{key: b, rank: 20, rule: {all: []}}, "
            "{key: a, rank: 3, label: {en: A, zh-hans: 甲}, rule: {all: []}}]"
        )
    ).version
    assert (read.keep_for, read.grace, read.downgrade) == (Term(1, 2), Term(), "by_value")
    assert read.tiers == (
        Tier("a", 3, Label("A", "甲"), All(())),
        Tier("b", 20, Label("b", "b"), All(())),
    )


@pytest.mark.parametrize(
    ("version", "path", "code"),
    [
        (TIERS, "", "missing_key"),
        ("effective_from: 2017-01-01", "", "missing_key"),
        (f"effective_from: 2017-13-01, {TIERS}", "/effective_from", "wrong_type"),
        (f"effective_from: 2017-01-01T00:00, {TIERS}", "/effective_from", "wrong_type"),
        (f"effective_from: 0001-01-01, {TIERS}", "/effective_from", "out_of_range"),
        (f"effective_from: 2017-01-01, keep_for: {{years: 99, months: 30}}, {TIERS}", "/keep_for",
         "out_of_range"),
        ("effective_from: 2017-01-01, tiers: []", "/tiers", "out_of_range"),
        (f"effective_from: 2017-01-01, keep_for: {{}}, {TIERS}", "/keep_for", "missing_key"),
        (f"effective_from: 2017-01-01, keep_for: {{days: 0}}, {TIERS}", "/keep_for",
         "out_of_range"),
        (f"effective_from: 2017-01-01, keep_for: {{weeks: 1}}, {TIERS}", "/keep_for/weeks",
         "unknown_key"),
        (f"effective_from: 2017-01-01, grace: {{days: -1}}, {TIERS}", "/grace/days",
         "out_of_range"),
        (f"effective_from: 2017-01-01, downgrade: none, {TIERS}", "/downgrade", "unknown_value"),
        (f"effective_from: 2017-01-01, upgrade: period_end, {TIERS}", "/upgrade",
         "not_available"),
        (f"effective_from: 2017-01-01, upgrade: later, {TIERS}", "/upgrade", "unknown_value"),
        (f"effective_from: 2017-01-01, qualification: {{period: calendar_year}}, {TIERS}",
         "/qualification/period", "not_available"),
        (f"effective_from: 2017-01-01, qualification: {{period: anniversary}}, {TIERS}",
         "/qualification/period", "not_available"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 0, rule: {all: []}}]",
         "/tiers/0/rank", "out_of_range"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 1, rule: {all: []}}, "
         "{key: b, rank: 1, rule: {all: []}}]", "/tiers/1/rank", "duplicate_key"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 1, rule: {all: []}}, "
         "{key: a, rank: 2, rule: {all: []}}]", "/tiers/1/key", "duplicate_key"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 1, rule: {all: []}, "
         "benefits: [{key: x}]}]", "/tiers/0/benefits", "not_available"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 1, "
         "rule: {any: [{segment: app_users, cmp: member}]}}]", "/tiers/0/rule/any/0",
         "forbidden_input"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 1, rule: {list: vip, cmp: member}}]",
         "/tiers/0/rule", "forbidden_input"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 1, "
         "rule: {score: churn, cmp: gt, value: 1}}]", "/tiers/0/rule", "forbidden_input"),
        ("effective_from: 2017-01-01, tiers: [{key: a, rank: 1, "
         "rule: {metric: net_spend, cmp: gt, value: 1}}]", "/tiers/0/rule", "unknown_metric"),
    ],
)  # fmt: skip
def test_refuses_versions(version: str, path: str, code: str) -> None:
    assert codes(program(version)) == [(f"{V}{path}", code)]


def test_a_tier_rule_may_read_its_own_program() -> None:
    """A `tier` leaf reads the membership before the run, so this is no cycle."""
    text = program(
        "effective_from: 2017-01-01, tiers: [{key: a, rank: 1, rule: {all: []}}, "
        "{key: b, rank: 2, rule: {tier: p, cmp: at_least, value: a}}]"
    )
    assert codes(text) == []


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "Asia", "/etc/localtime"])
def test_refuses_unknown_zones(zone: str) -> None:
    text = program(f"effective_from: 2017-01-01, {TIERS}", f'timezone: "{zone}", ')
    assert codes(text) == [("/programs/0/timezone", "unknown_value")]


METRICS = """
metrics:
  - {key: elapsed, source: orders, unit: count, aggregate: {fn: count}, window: {hours: 48}}
  - {key: ever, source: orders, unit: count, aggregate: {fn: count}, window: {all: true}}
  - {key: daily, source: orders, unit: count, aggregate: {fn: count},
     window: {days: 2, to_now: true}}
  - {key: yearly, source: orders, unit: count, aggregate: {fn: count}, window: {calendar: year}}
  - {key: since, source: orders, unit: days, aggregate: {fn: days_since_last}, window: {all: true}}
  - {key: growth, unit: count, formula: {sum: [{metric: elapsed}, {metric: daily}]}}
layerings: [{key: layers, metric: growth, cuts: [1], layers: [a, b]}]
"""


@pytest.mark.parametrize(
    ("rule", "is_refused"),
    [
        ("{metric: elapsed, cmp: gt, value: 1}", False),
        ("{metric: ever, cmp: gt, value: 1}", False),
        ("{attr: city, cmp: is_set}", False),
        ("{metric: daily, cmp: gt, value: 1}", True),
        ("{metric: yearly, cmp: gt, value: 1}", True),
        ("{metric: since, cmp: gt, value: 1}", True),
        ("{metric: growth, cmp: gt, value: 1}", True),
        ("{layer: layers, cmp: in, value: [b]}", True),
    ],
)
def test_day_windows_need_the_projects_zone(rule: str, is_refused: bool) -> None:
    """P07: a program's dates and its metrics' days are never of two zones."""
    version = f"effective_from: 2017-01-01, tiers: [{{key: t, rank: 1, rule: {rule}}}]"
    base = stored(METRICS)
    elsewhere = codes(program(version, "timezone: Asia/Kathmandu, "), on=base)
    assert elsewhere == ([("/programs/0/timezone", "zone_mismatch")] if is_refused else [])
    assert codes(program(version), on=base) == []
    there = program(version, "timezone: Asia/Kathmandu, ")
    assert codes(there, on=base, zone="Asia/Kathmandu") == []


def test_an_immediate_upgrade_on_a_window_without_today_is_a_warning() -> None:
    tiers = "tiers: [{key: t, rank: 1, rule: {all: [{metric: orders_180d, cmp: gt, value: 1}]}}]"
    text = program(f"effective_from: 2017-01-01, {tiers}")
    assert codes(text) == []
    assert warnings(text) == [(f"{V}/tiers/0/rule/all/0", "upgrade_not_today")]
    assert warnings(program(f"effective_from: 2017-01-01, {TIERS}")) == []


def test_warns_when_a_metric_of_a_stored_program_loses_today() -> None:
    metric = (
        "metrics: [{key: net_spend_365d, source: orders, unit: money, "
        "aggregate: {fn: sum, field: net_amount}, window: {days: 365%s}}]"
    )
    assert warnings(metric % ", to_now: true") == []
    assert warnings(metric % "") == [("/metrics/0", "upgrade_not_today")]


def version(number: int, day: date, metric: str = "m") -> ProgramVersion:
    rule = MetricLeaf(metric, "gte", Decimal(1))
    return ProgramVersion(number, day, (Tier("t", 1, Label("t", "t"), rule),))


def test_versions_that_never_apply_again_are_left_out() -> None:
    first, second, third = (
        version(1, date(2020, 1, 1)),
        version(2, date(2021, 1, 1)),
        version(3, date(2020, 6, 1)),
    )

    def kept(*versions: ProgramVersion) -> list[int]:
        found = applicable_versions(Program("p", Label("p", "p"), ZONE, versions))
        return [item.number for item in found]

    assert kept(first, second) == [1, 2]
    assert kept(first, second, third) == [1, 3]
    assert kept(first, version(2, date(2020, 1, 1))) == [2]
    assert kept(first, version(2, date(2019, 1, 1))) == [2]


def test_an_older_version_that_still_applies_keeps_what_it_uses() -> None:
    """Case P08: a historical as-of still finds the metric of the version that applied."""
    base = stored()
    rule = "{metric: orders_180d, cmp: gte, value: 1}"
    text = program(f"effective_from: 2017-01-01, tiers: [{{key: t, rank: 1, rule: {rule}}}]")
    [entry] = read_sources([Source("", text)], project_zone=ZONE).patch.values()
    old = StoredProgram(
        Program("p", Label("p", "p"), ZONE, (version(1, date(2017, 1, 1), "orders_180d"),)),
        uses={1: entry.uses},
    )
    with_program = Stored(
        living={**base.living, Ref("program", "p"): old.as_entry()}, programs={"p": old}
    )
    retire = (
        "metrics: [{key: orders_180d, retired: true}]\n"
        "tags: [{group: promo_lover, retired: true}]\n"
    )
    [kept] = problems(retire, on=with_program)
    assert "is used by program:p" in kept.message
    later = retire + program(f"effective_from: 2018-01-01, {TIERS}")
    [still] = problems(later, on=with_program)
    assert (still.path, still.code) == ("/metrics/0", "has_dependents")
    assert "program:p@1" in still.message
    same_day = retire + program(f"effective_from: 2017-01-01, {TIERS}")
    assert codes(same_day, on=with_program) == []
