"""Held runs: a broken feed moves nobody, and a decision publishes exactly what was shown.

Cases B.. are those of docs/algorithms/breaker.md.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pgtrigger
import pytest
from django.contrib.auth.models import User

from config.clock import real_now
from membership.models import Membership, Transition
from membership.queries import program_document, run_document, segment_document
from membership.services import publish_run
from membership.services.erasure import erase_from_database
from membership.services.held_runs import held_moves, reject_run, release_run
from membership.services.verification import verify_run
from membership.services.verifying import is_verifiable
from segmentation.domain.errors import TierwiseError
from segmentation.engine.results import run_folder
from segmentation.models import Customer, PrivacyRequest, Run
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.daily import DailyShop

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(settings: Any, tmp_path: Path) -> DailyShop:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    found = DailyShop()
    found.open(until="2026-03-11")
    return found


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def state() -> tuple[list[Any], int]:
    return list(Membership.objects.order_by("pk").values()), Transition.objects.count()


def cut(shop: DailyShop) -> Run:
    """Seven good mornings, then the feed of 03-17 does not come."""
    good = shop.mornings("2026-03-11", 7)
    assert [run.status for run in good] == ["published"] * 7
    return shop.run("2026-03-18")


def decide(act: Any, run: Run, user: User, reason: str = "looked at it") -> Run:
    found: Run = act(run.pk, user=user, reason=reason, now=real_now())
    return found


def test_a_cut_feed_holds_the_run_and_moves_nobody(shop: DailyShop) -> None:
    """S07: the last good result answers everywhere until the facts arrive (B10)."""
    good = shop.mornings("2026-03-11", 7)[-1]
    before = state()
    held = shop.run("2026-03-18")
    assert held.status == Run.Status.HELD
    assert held.held_reasons == [
        {
            "kind": "volume", "check": "volume", "key": "orders", "before": 40, "after": 0,
            "low": 20, "high": 100, "day": "2026-03-17", "promotion": "", "compared": "",
        }
    ]  # fmt: skip
    assert state() == before
    assert {move.kind for move in held_moves(held)} == {"exit", "renewal"}
    assert segment_document("active", as_of=None)["run"] == good.pk
    assert segment_document("active", as_of=held.as_of)["run"] == good.pk
    assert program_document("club", as_of=held.as_of)["run"] == good.pk
    document = run_document(held)
    assert document["status"] == "held"
    assert document["segments"] == {"active": 360, "buyers_unseen": 360}
    # The next morning only 03-18 came: the base stays, so 03-17 is still looked at.
    shop.serve([date(2026, 3, 18)])
    again = shop.run("2026-03-19")
    assert again.status == Run.Status.HELD
    assert [reason["day"] for reason in again.held_reasons] == ["2026-03-17"]
    held.refresh_from_db()
    assert (held.status, held.decision) == ("failed", "overtaken")
    shop.serve([date(2026, 3, 17), date(2026, 3, 19)])
    healed = shop.run("2026-03-20")
    assert healed.status == Run.Status.PUBLISHED
    assert healed.held_reasons == []
    again.refresh_from_db()
    assert (again.status, again.decision) == ("failed", "overtaken")
    assert not Transition.objects.filter(kind__in=("exit", "downgrade")).exists()


def test_releasing_publishes_exactly_what_was_shown(shop: DailyShop, cast: Cast) -> None:
    held = cut(shop)
    shown = {(move.kind, move.customers) for move in held_moves(held)}
    document = run_document(held)
    before = state()
    done = decide(release_run, held, cast.operations_manager, "the shop was closed")
    assert (done.status, done.decision) == ("published", "released")
    assert (done.decided_by, done.decision_reason) == ("operations_manager", "the shop was closed")
    assert done.recorded_hash == held.recorded_hash
    assert run_document(done) == {**document, "status": "published"}
    found = [kind for _who, kind, _from, _to in shop.moves(done)]
    assert {(kind, found.count(kind)) for kind in set(found)} == shown
    assert set(Transition.objects.filter(run=done).values_list("at", flat=True)) == {held.as_of}
    assert segment_document("active", as_of=None)["run"] == held.pk
    assert not (run_folder(held.pk) / "tier_changes.parquet").exists()
    assert verify_run(held.pk, now=real_now()).equal
    assert state() != before
    after = state()
    again = decide(release_run, held, cast.operations_manager)  # a double click
    assert (again.status, again.decision_reason) == ("published", "the shop was closed")
    assert state() == after
    with pytest.raises(TierwiseError) as refused:
        decide(reject_run, held, cast.operations_manager)
    assert refused.value.code == "wrong_state"
    # The released day is the new base: the next morning asks about its own day alone.
    shop.serve([date(2026, 3, 18)])
    assert shop.run("2026-03-19").status == Run.Status.PUBLISHED


def test_rejecting_changes_nothing_and_says_who(shop: DailyShop, cast: Cast) -> None:
    held = cut(shop)
    before = state()
    done = decide(reject_run, held, cast.operations_manager, "feed was cut")
    assert (done.status, done.decision) == ("failed", "rejected")
    assert done.error == "Rejected by operations_manager: feed was cut"
    assert state() == before
    assert verify_run(held.pk, now=real_now()).equal
    assert decide(reject_run, held, cast.operations_manager).decision_reason == "feed was cut"
    with pytest.raises(TierwiseError) as refused:
        decide(release_run, held, cast.operations_manager)
    assert refused.value.code == "wrong_state"
    # Rejected is not forgotten: the day is looked at until its facts are there.
    again = shop.run("2026-03-18")
    assert again.status == Run.Status.HELD
    shop.serve([date(2026, 3, 17)])
    assert shop.run("2026-03-18").status == Run.Status.PUBLISHED


def test_what_is_refused_changes_nothing(shop: DailyShop, cast: Cast) -> None:
    held = cut(shop)
    before = state()
    for user, reason, code in (
        (cast.analyst, "because", "forbidden"),
        (cast.operations_manager, "  ", "reason_required"),
    ):
        for act in (release_run, reject_run):
            with pytest.raises(TierwiseError) as refused:
                decide(act, held, user, reason)
            assert refused.value.code == code
    (run_folder(held.pk) / "tier_changes.parquet").rename(run_folder(held.pk) / "away")
    with pytest.raises(TierwiseError) as refused:
        decide(release_run, held, cast.operations_manager)
    assert refused.value.code == "files_missing"
    held.refresh_from_db()
    assert (held.status, held.decision) == ("held", "")
    assert state() == before


def test_a_newer_run_takes_the_place_of_a_held_one(shop: DailyShop, cast: Cast) -> None:
    held = cut(shop)
    shop.serve([date(2026, 3, 17)])
    newer = shop.run("2026-03-18T06:00:00")
    assert newer.status == Run.Status.PUBLISHED
    before = state()
    for act in (release_run, reject_run):
        with pytest.raises(TierwiseError) as refused:
            decide(act, held, cast.operations_manager)
        assert refused.value.code == "overtaken"
    held.refresh_from_db()
    assert (held.status, held.decision, held.error_code) == ("failed", "overtaken", "overtaken")
    assert held.error == f"Run {newer.pk} took its place before anybody decided."
    assert state() == before


def test_a_run_that_never_publishes_is_not_held(shop: DailyShop) -> None:
    """Dry and historical runs change nothing, so there is nothing to hold; a dry run says whether
    it would be."""
    held = cut(shop)
    dry = shop.run("2026-03-18", is_dry_run=True)
    assert dry.status == Run.Status.DRY_RUN
    assert run_document(dry)["would_be_held"] == dry.held_reasons == held.held_reasons != []
    assert not held_moves(dry)
    assert not is_verifiable(dry)
    past = shop.run("2026-03-16T12:00:00")
    assert (past.status, past.held_reasons) == (Run.Status.HISTORICAL, [])
    assert "would_be_held" not in run_document(past)
    old = shop.run("2026-03-16T12:00:00", is_dry_run=True)
    assert run_document(old)["would_be_held"] == []
    held.refresh_from_db()
    assert held.status == Run.Status.HELD


def test_what_a_dry_run_found_is_not_looked_at_again(shop: DailyShop) -> None:
    """It held nothing, so its day is not in question for the runs after it (B10, B11)."""
    shop.mornings("2026-03-11", 7)
    assert shop.run("2026-03-18", is_dry_run=True).held_reasons != []
    shop.serve([date(2026, 3, 18) + timedelta(days=on) for on in range(10)])
    assert shop.run("2026-03-28").status == Run.Status.PUBLISHED


def test_a_segment_that_jumps_holds_the_run(shop: DailyShop, cast: Cast) -> None:
    """B02: the rule was broken; a hidden segment is a reason of its own."""
    shop.mornings("2026-03-11", 8)
    broken = {"key": "active", "purpose": "service", "visibility": "internal",
              "rule": {"metric": "recent_orders", "cmp": "gte", "value": 2}}  # fmt: skip
    shop.apply({"segments": [broken]})
    shop.serve([date(2026, 3, 18)])
    held = shop.run("2026-03-19")
    assert held.status == Run.Status.HELD
    assert [(row["key"], row["check"], row["after"]) for row in held.held_reasons] == [
        ("active", "change", 0),
        ("buyers_unseen", "change", 0),
    ]
    # Released, the new size is what is usual; the next morning needs nobody.
    decide(release_run, held, cast.operations_manager)
    shop.serve([date(2026, 3, 19)])
    assert shop.run("2026-03-20").status == Run.Status.PUBLISHED


def test_who_is_erased_meanwhile_is_not_moved(shop: DailyShop, cast: Cast) -> None:
    """S11: the release skips them; the hash of the rest is the same."""
    held = cut(shop)
    moved = [move for move in held_moves(held) if move.kind == "exit"]
    assert moved[0].customers > 1
    gone = Customer.objects.get(external_id="c200")
    request = PrivacyRequest.objects.create(
        kind=PrivacyRequest.Kind.ERASE, customer_ref=gone.external_id, actor="tester",
        requested_at=real_now(), receipt="r-held",
    )  # fmt: skip
    erase_from_database(request, now=real_now())
    done = decide(release_run, held, cast.operations_manager)
    assert done.status == Run.Status.PUBLISHED
    assert not Transition.objects.filter(customer=gone).exists()
    assert not Membership.objects.filter(customer=gone).exists()
    assert Transition.objects.filter(run=done, kind="exit").count() == moved[0].customers - 1


def test_who_was_merged_meanwhile_gets_no_tier(shop: DailyShop, cast: Cast) -> None:
    """S11: the row of the merged one is an alias and holds nothing."""
    shop.mornings("2026-03-11", 7)
    shop.record("orders", {"order_id": "N1", "customer_id": "newcomer", "amount": "5.00",
                           "placed_at": "2026-03-17T01:00:00"})  # fmt: skip
    held = shop.run("2026-03-18")
    assert held.status == Run.Status.HELD
    assert "entry" in {move.kind for move in held_moves(held)}
    survivor = Customer.objects.get(external_id="c001")
    with pgtrigger.ignore("segmentation.Customer:change_needs_batch"):
        Customer.objects.filter(external_id="newcomer").update(merged_into=survivor)
    done = decide(release_run, held, cast.operations_manager)
    assert done.status == Run.Status.PUBLISHED
    assert not Membership.objects.filter(customer__external_id="newcomer").exists()
    assert not Transition.objects.filter(customer__external_id="newcomer").exists()


def test_a_tier_removed_meanwhile_is_given_to_nobody(
    shop: DailyShop, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = cut(shop)
    monkeypatch.setattr(publish_run, "living_tiers", set)
    before = state()
    with pytest.raises(TierwiseError) as refused:
        decide(release_run, held, cast.operations_manager)
    assert refused.value.code == "definitions_changed"
    assert state() == before
    assert decide(reject_run, held, cast.operations_manager).status == Run.Status.FAILED
