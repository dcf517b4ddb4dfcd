"""Runs: what they publish, what they leave alone, and what can be asked of them afterwards."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from membership.domain.progress import Gap
from membership.models import Membership, Transition
from membership.services import following, recompute
from membership.services.member_view import member_view
from segmentation.engine.results import run_folder
from segmentation.engine.snapshots import read_memberships
from segmentation.models import (
    Customer,
    DefinitionSet,
    ManualMember,
    Objection,
    Run,
    RunCount,
    Segment,
    SegmentResult,
)
from segmentation.services.run_catalogs import run_catalog
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(CLUB)
    return found


def told(*words: str) -> dict[str, Any]:
    """The JSON document of a command."""
    out = io.StringIO()
    call_command(*words, "--json", stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def test_entry_upgrade_grace_and_exit_over_time(world: World) -> None:
    """The lifecycle over four runs, with the values that decided in each transition."""
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    world.order("bert", "2026-01-10T09:00:00", "99.99")
    first = world.run("2026-01-15")
    assert world.moves(first) == [("anna", "entry", "", "silver")]
    assert Transition.objects.get(run=first).values == {"spend": "150.00"}
    anna = Membership.objects.get(customer__external_id="anna")
    assert (anna.since, anna.until) == (day("2026-01-15"), day("2026-02-15"))
    world.order("anna", "2026-01-20T09:00:00", "850.00")
    second = world.run("2026-01-21")
    assert world.moves(second) == [("anna", "upgrade", "silver", "gold")]
    assert Transition.objects.get(run=second).values == {"spend": "1000.00"}
    assert world.tiers() == {"anna": "gold"}
    third = world.run("2026-02-20T12:00:00")  # one day before `until`
    assert world.moves(third) == []
    fourth = world.run("2026-02-21")
    assert world.moves(fourth) == [("anna", "grace", "gold", "gold")]
    assert Membership.objects.get().grace_until == day("2026-03-03")
    fifth = world.run("2026-03-03")
    assert world.moves(fifth) == [("anna", "downgrade", "gold", "silver")]
    sixth = world.run("2026-06-01")  # long past everything: one step in one run
    assert world.moves(sixth) == [("anna", "exit", "silver", "")]
    assert world.tiers() == {}


def test_values_that_decide_through_layers_and_tags(world: World) -> None:
    """A transition tells the metrics behind a rule, also where the rule names none itself."""
    tiers = [
        {"key": "silver", "rank": 1, "rule": {"layer": "levels", "cmp": "in", "value": ["high"]}},
        {"key": "gold", "rank": 2, "rule": {"tag": "busy", "cmp": "eq", "value": "often"}},
    ]
    often = {"metric": "orders", "cmp": "gte", "value": 2}
    world.apply(
        {
            "layerings": [{"key": "levels", "metric": "spend", "cuts": ["100"],
                           "layers": ["low", "high"]}],
            "tags": [{"group": "busy", "exclusive": True,
                      "rules": [{"value": "often", "rule": often}]}],
            "programs": [{**CLUB["programs"][0],
                          "version": {**CLUB["programs"][0]["version"], "tiers": tiers}}],
        }
    )  # fmt: skip
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    run = world.run("2026-01-15")
    assert world.moves(run) == [("anna", "entry", "", "silver")]
    assert Transition.objects.get(run=run).values == {"orders": "1", "spend": "150.00"}


def test_the_same_as_of_again_changes_nothing(world: World) -> None:
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    first = world.run("2026-01-15")
    before = list(Membership.objects.values())
    again = world.run("2026-01-15")
    assert again.status == Run.Status.PUBLISHED
    assert world.moves(again) == []
    assert list(Membership.objects.values()) == before
    assert again.recorded_hash == first.recorded_hash
    result = SegmentResult.objects.get(run=again, segment__key="spenders")
    assert (result.size, result.entered_count, result.left_count) == (1, 0, 0)


def test_the_same_as_of_again_reads_the_same_tiers(world: World) -> None:
    """`tier` leaves read what was before the as-of's first run, until facts or definitions change;
    then what was before the run itself."""
    risen = {"tier": "club", "cmp": "at_least", "value": "silver"}
    world.apply({"segments": [{"key": "risen", "purpose": "service", "visibility": "internal",
                               "rule": risen}]})  # fmt: skip
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    first = world.run("2026-01-15")
    second = world.run("2026-01-15")
    third = world.run("2026-01-15")
    assert (second.base_run, third.base_run) == (first, second)
    for run in (first, second, third):
        assert world.members(run, "risen") == set()
        assert run.recorded_hash == first.recorded_hash
        assert told("verify_run", str(run.pk))["equal"] is True
        assert told("explain", "anna", "segment:risen")["verdict"] is False
    world.record("customers", {"customer_id": "bert"})
    fourth = world.run("2026-01-15")
    fifth = world.run("2026-01-15")
    for run in (fourth, fifth):
        assert world.members(run, "risen") == {"anna"}
        assert told("verify_run", str(run.pk))["equal"] is True
    assert told("explain", "anna", "segment:risen")["verdict"] is True
    assert world.moves(fifth) == []


def test_a_run_that_was_overtaken_changes_nothing_current(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two runs of one as-of the one asked for last answers, and later runs start from it."""

    def ask() -> Run:
        return recompute.request_run(as_of=day("2026-01-15"), actor="tester", now=datetime.now(UTC))

    def broken(*_args: object, **_named: object) -> None:
        ask()  # the first one is under way: who asks now wants what was recorded since
        raise OSError("the folder went away")

    world.order("anna", "2026-01-10T09:00:00", "150.00")
    with monkeypatch.context() as patch:
        patch.setattr(recompute, "compute", broken)
        asked = ask()
        recompute.execute_next_run(clock=lambda: datetime.now(UTC))
    # The first one waits before it tries again.
    overtaking = recompute.execute_next_run(clock=lambda: datetime.now(UTC))
    assert overtaking is not None
    assert overtaking.pk > asked.pk
    world.order("bert", "2026-01-11T09:00:00", "150.00")
    Run.objects.update(not_before=None)
    recompute.execute_next_run(clock=lambda: datetime.now(UTC))
    asked.refresh_from_db()
    assert (asked.status, asked.attempts) == (Run.Status.HISTORICAL, 2)
    assert world.tiers() == {"anna": "silver"}
    assert told("membership", "club")["run"] == overtaking.pk
    after = world.run("2026-01-16")
    assert world.moves(after) == [("bert", "entry", "", "silver")]


def test_a_historical_run_changes_nothing_current(world: World) -> None:
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    world.order("bert", "2026-02-20T09:00:00", "500.00")
    january = world.run("2026-01-15")
    march = world.run("2026-03-01")
    before = (list(Membership.objects.order_by("pk").values()), Transition.objects.count())
    february = world.run("2026-02-01")
    assert february.status == Run.Status.HISTORICAL
    assert february.base_run == january
    assert (list(Membership.objects.order_by("pk").values()), Transition.objects.count()) == before
    assert told("membership", "club")["run"] == march.pk
    then = told("membership", "club", "--as-of", "2026-02-10")
    assert (then["run"], [m["customer_id"] for m in then["members"]]) == (february.pk, ["anna"])
    assert world.members(march, "spenders") == {"bert"}
    assert world.members(february, "spenders") == {"anna"}


def test_an_as_of_before_the_program_has_no_members(world: World) -> None:
    world.order("anna", "2025-12-10T09:00:00", "150.00")
    early = world.run("2025-12-15")
    assert world.moves(early) == []
    assert told("recompute", "--as-of", "2025-12-16", "--wait")["programs"] == {
        "club": {"silver": 0, "gold": 0}
    }


def test_the_members_view_reads_the_newest_run(world: World) -> None:
    """What the API shows, from the files of a real run; a customer recorded later has no values."""
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    world.run("2026-01-15")
    world.record("customers", {"customer_id": "late"})
    found = member_view("anna")
    assert found is not None
    (anna,) = found
    assert (anna.tier, anna.until, anna.progress) == (
        "silver",
        day("2026-02-15"),
        (Gap("spend", "1000.00", "150.00", "850.00"),),
    )
    assert [(each.tier, each.progress) for each in member_view("late") or ()] == [
        (None, (Gap("spend", "100.00", None, "100.00"),))
    ]
    assert member_view("nobody") is None


def test_waiting_for_a_run_that_pauses_is_no_busy_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that waits after a failure is asked for ten times a second, not without a pause."""

    asked = recompute.request_run(as_of=day("2026-01-15"), actor="tester", now=datetime.now(UTC))
    Run.objects.update(not_before=datetime(2999, 1, 1, tzinfo=UTC))
    looked: list[str] = []
    real = following.execute_next_run

    def counted(**named: Any) -> Run | None:
        looked.append("looked")
        assert looked != ["looked"] * 2
        return real(**named)

    def paused(seconds: float) -> None:
        if looked:
            raise InterruptedError(str(seconds))

    monkeypatch.setattr(following, "_WAIT_FOR_WORKER", 0.0)
    monkeypatch.setattr(following, "execute_next_run", counted)
    monkeypatch.setattr("membership.services.following.time.sleep", paused)
    with pytest.raises(InterruptedError, match=r"^0\.1$"):
        following.follow_run(asked.pk, clock=lambda: datetime.now(UTC))
    assert looked == ["looked"]


def test_a_dry_run_publishes_nothing(world: World) -> None:
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    done = world.run("2026-01-15", is_dry_run=True)
    assert done.status == Run.Status.DRY_RUN
    assert world.members(done, "spenders") == {"anna"}
    assert Membership.objects.count() == 0
    assert Transition.objects.count() == 0
    with pytest.raises(SystemExit):
        call_command("segment", "spenders", "--json", stdout=io.StringIO())


def test_preview_equals_the_run_and_every_reader_the_bitmap(world: World, tmp_path: Path) -> None:
    """Cases S08 and S09: one number, whoever asks, and a dry run at t equals the run at t."""
    for number in range(7):
        world.order(f"c{number}", "2026-01-10T09:00:00", str(60 + 10 * number))
    preview = world.run("2026-01-15", is_dry_run=True)
    run = world.run("2026-01-15")
    assert (
        world.members(preview, "spenders") == world.members(run, "spenders") == {"c4", "c5", "c6"}
    )
    target = tmp_path / "out.csv"
    document = told("segment", "spenders", "--export", str(target))
    assert document == {
        "as_of": "2026-01-15T00:00:00+08:00",
        "run": run.pk,
        "key": "spenders",
        "size": 3,
        "members": ["c4", "c5", "c6"],
    }
    rows = list(csv.reader(target.read_text().splitlines()))
    assert rows == [["customer_id"], ["c4"], ["c5"], ["c6"]]
    assert SegmentResult.objects.get(run=run, segment__key="spenders").size == 3
    assert told("recompute", "--as-of", "2026-01-15", "--wait")["segments"]["spenders"] == 3


def test_parents_follow_children_in_one_run(world: World) -> None:
    """Case S04: `others` is the complement of `spenders`, in the same run as `spenders` changes."""
    world.order("anna", "2026-01-10T09:00:00", "50.00")
    assert world.members(world.run("2026-01-15"), "others") == {"anna"}
    segments = [{**CLUB["segments"][0], "rule": {"metric": "spend", "cmp": "gte", "value": "50"}}]
    world.apply({"segments": segments})
    after = world.run("2026-01-16")
    assert world.members(after, "spenders") == {"anna"}
    assert world.members(after, "others") == set()


def test_manual_rows_and_objections_come_after_the_rule(world: World) -> None:
    """Exclude wins over include; an objection takes a customer out of every hidden segment."""
    for name in ("anna", "bert", "carl"):
        world.record("customers", {"customer_id": name})
    people = {customer.external_id: customer for customer in Customer.objects.all()}
    spenders = Segment.objects.get(key="spenders")
    for name, kind in (("anna", "include"), ("bert", "include"), ("bert", "exclude")):
        ManualMember.objects.create(
            segment=spenders, customer=people[name], kind=kind, reason="asked", actor="tester"
        )
    Objection.objects.create(customer=people["carl"], objected_at=datetime.now(UTC))
    run = world.run("2026-01-15")
    assert world.members(run, "spenders") == {"anna"}
    assert world.members(run, "others") == {"bert"}  # carl objects, anna is a spender
    ManualMember.objects.all().delete()
    Objection.objects.all().delete()
    assert told("verify_run", str(run.pk))["equal"] is True  # manual rows are pinned with the run


def test_an_old_run_replays_with_its_own_definitions_and_facts(world: World) -> None:
    """Case P08: editing a rule or correcting a fact never changes what was decided."""
    order = world.order("anna", "2026-01-10T09:00:00", "150.00")
    old = world.run("2026-01-15")
    world.record("orders", {"order_id": order, "customer_id": "anna",
                            "placed_at": "2026-01-10T09:00:00", "amount": "1.00"})  # fmt: skip
    version = {**CLUB["programs"][0]["version"], "keep_for": {"months": 2}}
    world.apply({"programs": [{**CLUB["programs"][0], "version": version}]})
    new = world.run("2026-01-16")
    assert DefinitionSet.objects.count() == 2
    assert world.members(new, "spenders") == set()
    for run in (old, new):
        verified = told("verify_run", str(run.pk))
        assert verified["equal"] is True
        assert verified["recorded_hash"] == verified["derived_hash"] == run.recorded_hash
    assert old.recorded_hash != new.recorded_hash
    assert world.tiers() == {"anna": "silver"}  # held until its end, whatever was corrected


def test_verification_notices_a_changed_result(world: World) -> None:
    """A control for the test above: a hash that was recorded wrongly is not equal."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    world.order("anna", "2026-01-10T09:00:00", "150.00")
    run = world.run("2026-01-15")
    path = run_folder(run.pk) / "hashes.parquet"
    table = pq.read_table(path)
    wrong = np.asarray(table["hash"]) ^ np.uint64(1)
    pq.write_table(pa.table({"external_id": table["external_id"], "hash": wrong}), path)
    verified = told("verify_run", str(run.pk))
    assert verified["equal"] is False
    assert verified["erased"] == 0


def test_verification_notices_a_replaced_file(world: World) -> None:
    """The hashes of the customers count only while they are those that the run published."""
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    run = world.run("2026-01-15")
    Run.objects.filter(pk=run.pk).update(recorded_hash="0" * 64)
    verified = told("verify_run", str(run.pk))
    assert (verified["recorded_hash"], verified["equal"]) == ("0" * 64, False)
    assert verified["derived_hash"] == run.recorded_hash


def test_a_failed_run_is_visible_and_leaves_the_last_result(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case S07 in small: the error is on the run, the published result stays."""

    world.order("anna", "2026-01-10T09:00:00", "150.00")
    good = world.run("2026-01-15")

    def broken(*_args: object, **_named: object) -> None:
        raise ArithmeticError("boom")

    monkeypatch.setattr(recompute, "publish", broken)
    asked = recompute.request_run(as_of=day("2026-01-16"), actor="tester", now=datetime.now(UTC))
    recompute.execute_next_run(clock=lambda: datetime.now(UTC))
    asked.refresh_from_db()
    assert (asked.status, asked.error) == (Run.Status.FAILED, "ArithmeticError: boom")
    assert RunCount.objects.filter(run=asked).count() == 0
    assert told("segment", "spenders")["run"] == good.pk
    with pytest.raises(SystemExit) as left:
        told("profile", "nobody")
    assert left.value.code == 1


def test_a_historical_run_after_a_program_ended_has_no_members_in_it(world: World) -> None:
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    world.run("2026-01-15")
    assert world.moves(world.run("2026-06-01")) == [("anna", "exit", "silver", "")]
    world.apply({"programs": [{"key": "club", "retired": True}]})
    then = world.run("2026-01-16")
    assert then.status == Run.Status.HISTORICAL
    assert read_memberships(then) == []
    assert told("verify_run", str(then.pk))["equal"] is True


def test_tier_leaves_read_the_rank_a_tier_has_now(world: World) -> None:
    """A version that ranks its tiers otherwise: `at_least` compares within the new version."""
    world.order("anna", "2026-01-10T09:00:00", "1500.00")
    world.run("2026-01-15")
    tiers = [{"key": "bronze", "rank": 1, "rule": {"metric": "spend", "cmp": "gte", "value": "9"}}]
    tiers += [
        {**tier, "rank": tier["rank"] + 1} for tier in CLUB["programs"][0]["version"]["tiers"]
    ]
    version = {**CLUB["programs"][0]["version"], "tiers": tiers}
    golden = {"tier": "club", "cmp": "at_least", "value": "gold"}
    world.apply(
        {
            "programs": [{**CLUB["programs"][0], "version": version}],
            "segments": [{"key": "golden", "purpose": "service", "visibility": "internal",
                          "rule": golden}],
        }
    )  # fmt: skip
    run = world.run("2026-01-16")
    assert world.members(run, "golden") == {"anna"}
    assert world.moves(run) == []


def test_a_tier_removed_while_a_run_computes_is_given_to_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run notices at publication, starts again and publishes with the new definitions."""

    world.order("anna", "2026-01-10T09:00:00", "1500.00")
    real = recompute.compute
    version = CLUB["programs"][0]["version"]
    silver_only = {**CLUB["programs"][0], "version": {**version, "tiers": version["tiers"][:1]}}

    def applied_meanwhile(*args: Any, **named: Any) -> Any:
        world.apply({"programs": [silver_only]})
        return real(*args, **named)

    monkeypatch.setattr(recompute, "compute", applied_meanwhile)
    asked = recompute.request_run(as_of=day("2026-01-15"), actor="tester", now=datetime.now(UTC))
    recompute.execute_next_run(clock=lambda: datetime.now(UTC))
    asked.refresh_from_db()
    assert (asked.status, Membership.objects.count()) == (Run.Status.QUEUED, 0)
    assert "Definitions changed" in asked.error
    Run.objects.update(not_before=None)
    monkeypatch.setattr(recompute, "compute", real)
    recompute.execute_next_run(clock=lambda: datetime.now(UTC))
    assert world.tiers() == {"anna": "silver"}


def test_the_columns_that_pages_read_wait_for_the_first_reader(world: World) -> None:
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    folder = Path(settings.VAR_DIR) / "cache" / "runs"
    published = world.run("2026-01-15")
    (file,) = folder.iterdir()
    assert file.name.startswith(f"{published.pk}-")
    assert world.run("2026-01-10").status == Run.Status.HISTORICAL
    assert list(folder.iterdir()) == [file]


def test_columns_that_cannot_be_written_fail_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(run: Run) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(recompute, "warm_columns", refuse)
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    run = world.run("2026-01-15")
    assert run.status == Run.Status.PUBLISHED
    assert world.tiers() == {"anna": "silver"}
    assert "could not be written ahead" in caplog.text


def test_definitions_are_remembered_by_their_content(world: World) -> None:
    """After a restore the same numbers may be another run of another set."""
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    run = world.run("2026-01-15")
    assert set(run_catalog(run).metrics) == {"spend", "orders"}
    stored = DefinitionSet.objects.get()
    fewer = {name: [] for name in stored.document} | {"metrics": stored.document["metrics"][:1]}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE segmentation_definitionset DISABLE TRIGGER USER")
        DefinitionSet.objects.update(document=fewer, digest="another")
        cursor.execute("ALTER TABLE segmentation_definitionset ENABLE TRIGGER USER")
    run.requested_at += timedelta(seconds=1)
    assert len(run_catalog(run).metrics) == 1
