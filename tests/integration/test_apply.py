"""Applying definitions documents: what is stored, what is refused, what stays."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pghistory.models import Context

from membership.models import Membership, Program, ProgramVersion, Tier
from membership.queries import load_definition_set
from membership.services.applying import Applied, Source, apply_documents
from membership.services.definitions import (
    current_programs,
    definition_set,
)
from segmentation.domain.errors import NotAvailableError, TierwiseError
from segmentation.models import (
    Customer,
    CustomerTag,
    DefinitionSet,
    DefinitionVersion,
    FactBatch,
    Metric,
    Run,
    Segment,
    TagGroup,
)
from segmentation.services.definitions import current_catalog, lock_definitions
from tests.unit.reading_cases import SAMPLE, segments_document

NOW = datetime(2026, 5, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def apply(*texts: str, dry_run: bool = False) -> Applied:
    sources = [Source(f"{n}.yaml", text) for n, text in enumerate(texts)]
    return apply_documents(sources, actor="tester", reason="because", now=NOW, dry_run=dry_run)


def refused(*texts: str) -> list[tuple[str, str]]:
    """The problems as (path, code); asserts that nothing at all was stored."""
    before = snapshot()
    with pytest.raises(TierwiseError) as caught:
        apply(*texts)
    assert snapshot() == before
    return [(problem.path, problem.code) for problem in caught.value.problems]


def snapshot() -> list[Any]:
    models = (DefinitionVersion, TagGroup, Metric, Segment, Program, ProgramVersion, Tier)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def versions(kind: str, key: str) -> list[tuple[int, bool]]:
    found = DefinitionVersion.objects.filter(kind=kind, key=key).order_by("number")
    return list(found.values_list("number", "is_retired"))


def test_first_apply_creates_everything_once() -> None:
    applied = apply(SAMPLE)
    assert applied.changed == applied.unchanged == ()
    assert applied.created == (
        "tag:city_tier", "tag:promo_lover", "metric:net_spend_365d", "metric:promo_share_180d",
        "metric:orders_180d", "metric:days_since_order", "metric:reviews_365d",
        "metric:referred_buyers", "metric:growth_value", "layering:value_layer",
        "layering:spend_quintile", "segment:app_users", "segment:lapsing_high_value",
        "program:gold",
    )  # fmt: skip
    assert DefinitionVersion.objects.count() == 14
    hidden = Segment.objects.get(key="lapsing_high_value")
    assert (hidden.is_hidden, hidden.label_zh_hans, hidden.version) == (True, "高价值流失预警", 1)
    assert not Segment.objects.get(key="app_users").is_hidden
    program = Program.objects.get()
    assert (program.timezone, "version" in program.document) == ("Asia/Shanghai", False)
    tiers = Tier.objects.values_list("version__number", "key", "rank", "label_en")
    assert list(tiers) == [(1, "silver", 1, "silver"), (1, "gold", 2, "gold")]
    version = DefinitionVersion.objects.get(kind="program")
    assert (version.actor, version.published_at, version.document["version"]["number"]) == (
        "tester", NOW, 1,
    )  # fmt: skip
    assert Context.objects.get().metadata == {"actor": "tester", "reason": "because"}


def test_the_same_again_changes_nothing() -> None:
    apply(SAMPLE)
    before = snapshot()
    again = apply(SAMPLE.replace('"2000"', "2000.00").replace("60}", '"60.0"}'))
    assert (again.created, again.changed, len(again.unchanged)) == ((), (), 14)
    assert snapshot() == before


def test_what_a_patch_does_not_name_stays() -> None:
    apply(SAMPLE)
    layers = "cuts: [1, 2], layers: [low, middle, high]"
    patch = f"layerings: [{{key: value_layer, metric: orders_180d, {layers}}}]"
    applied = apply(patch)
    assert (applied.created, applied.changed, applied.unchanged) == (
        (),
        ("layering:value_layer",),
        (),
    )
    catalog = current_catalog()
    assert catalog.layerings["value_layer"].metric == "orders_180d"
    assert len(catalog.metrics) == 7
    assert versions("layering", "value_layer") == [(1, False), (2, False)]
    assert versions("layering", "spend_quintile") == [(1, False)]


def test_a_dry_run_tells_and_stores_nothing() -> None:
    applied = apply(SAMPLE, dry_run=True)
    assert len(applied.created) == 14
    assert DefinitionVersion.objects.count() == Program.objects.count() == 0
    assert Context.objects.count() == 0


def test_one_problem_refuses_the_whole() -> None:
    apply(SAMPLE)
    text = segments_document(good="", bad="nowhere")
    assert refused(text) == [("/segments/1/rule/any/0", "unknown_segment")]
    assert refused("tags: [", text) == [
        ("", "syntax"),
        ("/segments/1/rule/any/0", "unknown_segment"),
    ]


def test_retiring_is_refused_while_something_depends_on_it() -> None:
    """S05: the dependents are listed; retired together with them it works."""
    apply(SAMPLE)
    assert refused("segments: [{key: app_users, retired: true}]") == [
        ("/segments/0", "has_dependents")
    ]
    applied = apply(
        "segments: [{key: app_users, retired: true}, {key: lapsing_high_value, retired: true}]"
    )
    assert applied.changed == ("segment:app_users", "segment:lapsing_high_value")
    assert current_catalog().segments == {}
    assert versions("segment", "app_users") == [(1, False), (2, True)]
    again = apply("segments: [{key: app_users, retired: true}]")
    assert (again.changed, again.unchanged) == ((), ("segment:app_users",))
    back = apply(segments_document(app_users=""))
    assert back.created == ("segment:app_users",)
    assert versions("segment", "app_users") == [(1, False), (2, True), (3, False)]
    assert list(current_catalog().segments) == ["app_users"]


def test_cycles_through_stored_segments_are_refused() -> None:
    """S03: a cycle is refused with its path named, a diamond accepted, self-reference refused."""
    apply(segments_document(a="b c", b="d", c="d", d=""))
    assert refused(segments_document(d="a")) == [("/segments/0/rule/any/0", "cycle")] * 1
    assert refused(segments_document(d="d")) == [("/segments/0/rule/any/0", "cycle")]


def program(effective_from: str, keys: str, label: str = "P") -> str:
    tiers = ", ".join(
        f"{{key: {key}, rank: {rank}, rule: {{all: []}}}}"
        for rank, key in enumerate(keys.split(), start=1)
    )
    return (
        f"programs: [{{key: p, label: {label}, version: "
        f"{{effective_from: {effective_from}, tiers: [{tiers}]}}}}]"
    )


def test_a_program_gets_a_new_version_only_when_its_rules_change() -> None:
    apply(program("2020-01-01", "a b"))
    assert apply(program("2020-01-01", "a b", "Other")).changed == ("program:p",)
    assert list(ProgramVersion.objects.values_list("number", flat=True)) == [1]
    assert versions("program", "p") == [(1, False), (2, False)]
    apply(program("2021-01-01", "a b c"))
    [read] = current_programs()
    assert [(v.number, str(v.effective_from), len(v.tiers)) for v in read.versions] == [
        (1, "2020-01-01", 2),
        (2, "2021-01-01", 3),
    ]
    assert read.label.en == "P"
    apply(program("2020-01-01", "a"))  # from the first day on: replaces both
    assert [v.number for v in current_programs()[0].versions] == [3]
    assert Program.objects.get().version == 4


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(external_id="C1", ordinal=0, batch=batch("customers"))


def batch(kind: str) -> FactBatch:
    return FactBatch.objects.create(kind=kind, source="import", recorded_at=NOW)


def test_a_tier_with_members_can_not_be_removed(customer: Customer) -> None:
    """P05: removing a tier needs a mapping, which is part of a later release."""
    apply(program("2020-01-01", "a b"))
    Membership.objects.create(
        program=Program.objects.get(),
        customer=customer,
        tier="b",
        rank=2,
        since=NOW,
        run=Run.objects.create(as_of=NOW, requested_by="t", requested_at=NOW),
    )
    with pytest.raises(NotAvailableError) as caught:
        apply(program("2020-01-01", "a"))
    assert [(p.path, p.code) for p in caught.value.problems] == [("/programs/0", "not_available")]
    assert refused("programs: [{key: p, retired: true}]") == [("/programs/0", "not_available")]
    assert ProgramVersion.objects.count() == 1
    apply(program("2020-01-01", "b c"))
    assert ProgramVersion.objects.count() == 2


def test_values_that_customers_have_can_not_be_removed(customer: Customer) -> None:
    group = "tags: [{{group: g, exclusive: {exclusive}, values: [{values}]}}]"
    apply(group.format(exclusive="false", values="a, b, c"))
    for value in ("a", "b"):
        CustomerTag.objects.create(customer=customer, group="g", value=value, batch=batch("tags"))
    assert refused(group.format(exclusive="false", values="a, c")) == [("/tags/0", "in_use")]
    assert refused(group.format(exclusive="true", values="a, b, c")) == [("/tags/0", "in_use")]
    assert refused("tags: [{group: g, rules: [{value: a, rule: {all: []}}]}]") == [
        ("/tags/0", "in_use")
    ]
    assert apply(group.format(exclusive="false", values="b, a")).changed == ("tag:g",)
    CustomerTag.objects.filter(value="b").update(is_removed=True, batch=batch("tags"))
    assert apply(group.format(exclusive="true", values="a")).changed == ("tag:g",)


def test_not_available_only_when_nothing_else_is_wrong() -> None:
    later = "overlap_policies: [{key: company}]"
    with pytest.raises(NotAvailableError):
        apply(later)
    with pytest.raises(TierwiseError) as caught:
        apply(f"{later}\nsegmnts: []")
    assert not isinstance(caught.value, NotAvailableError)
    assert [problem.code for problem in caught.value.problems] == ["unknown_key", "not_available"]


def test_a_set_replays_byte_for_byte() -> None:
    """P08: an old decision replays with its own definitions, whatever was applied since."""
    apply(SAMPLE)
    old = definition_set()
    assert definition_set() == old
    catalog, programs = current_catalog(), current_programs()
    text = json.dumps(old.document, sort_keys=True)
    apply(SAMPLE.replace('"2000"', '"3000"').replace("60}", "90}"))
    new = definition_set()
    assert new.digest != old.digest
    assert load_definition_set(new) == (current_catalog(), current_programs())
    stored = DefinitionSet.objects.get(digest=old.digest)
    assert load_definition_set(stored) == (catalog, programs)
    assert json.dumps(stored.document, sort_keys=True) == text
    apply(SAMPLE)
    catalog_again, programs_again = load_definition_set(definition_set())
    assert catalog_again == catalog
    assert [version.number for version in programs_again[0].versions] == [3]
    assert programs_again[0].versions[0].tiers == programs[0].versions[0].tiers


def test_a_hundred_segments_and_sixty_metrics_take_a_moment() -> None:
    metrics = ", ".join(
        f"{{key: m{n}, source: orders, unit: money, aggregate: {{fn: sum, field: amount}}, "
        f"window: {{days: {n + 1}}}}}"
        for n in range(60)
    )
    segments = ", ".join(
        f"{{key: s{n}, purpose: service, visibility: hidden, rule: {{all: ["
        + ", ".join(f"{{metric: m{(n + k) % 60}, cmp: gte, value: {k}}}" for k in range(8))
        + "]}}"
        for n in range(100)
    )
    text = f"metrics: [{metrics}]\nsegments: [{segments}]"
    started = datetime.now(UTC)
    apply(text)
    apply(text)
    assert (datetime.now(UTC) - started).total_seconds() < 4  # two applies
    assert Segment.objects.count() == 100


def command(*words: str) -> tuple[int, dict[str, Any]]:
    out = StringIO()
    try:
        call_command("apply", *words, "--json", stdout=out)
    except SystemExit as stop:
        return int(str(stop.code)), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def test_the_command_answers_with_one_document(tmp_path: Path) -> None:
    sample, later, wrong = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.json"
    sample.write_text(SAMPLE)
    later.write_text("overlap_policies: [{key: x}]")
    wrong.write_text('{"tags": [{"group": "g"}], "metrics": [{}]}')
    code, answer = command(str(sample), "--dry-run")
    assert (code, len(answer["created"]), DefinitionVersion.objects.count()) == (0, 14, 0)
    code, answer = command(str(sample))
    assert (code, sorted(answer)) == (0, ["changed", "created", "unchanged", "warnings"])
    assert Context.objects.get().metadata == {
        "actor": "operator",
        "reason": "apply a.yaml",
        "command": "apply",
    }
    code, answer = command(str(later))
    assert (code, answer["code"], answer["details"][0]["path"]) == (
        3, "not_available", "/overlap_policies",
    )  # fmt: skip
    code, answer = command(str(wrong), str(later))
    assert (code, answer["code"]) == (1, "invalid")
    assert [(d["path"], d["code"]) for d in answer["details"]][-1] == (
        "/overlap_policies", "not_available",
    )  # fmt: skip
    code, answer = command(str(tmp_path / "none.yaml"), str(tmp_path / "more.yaml"))
    assert (code, [d["code"] for d in answer["details"]]) == (1, ["unreadable", "unreadable"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_locked", [True, False])
def test_two_applies_never_interleave(is_locked: bool) -> None:
    """An apply waits for the one before; the control shows that without the lock it does not."""
    done = threading.Event()
    failures: list[Exception] = []

    def second() -> None:
        try:
            apply(segments_document(b=""))
            done.set()
        except Exception as error:  # shown by the assertion below
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    with transaction.atomic():
        if is_locked:
            lock_definitions(exclusive=True)
        thread.start()
        assert done.wait(0.4 if is_locked else 10) is not is_locked
    thread.join(10)
    assert failures == []
    assert done.is_set()
    assert Segment.objects.filter(key="b").count() == 1
