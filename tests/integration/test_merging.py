"""Merging two ids of one person (case S11): the survivor is evaluated from the facts of both, the
other id counts nowhere, and an undo leaves a world in which it never happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from config.clock import real_now
from membership.models import Membership, Transition
from membership.queries import profile_document
from membership.services import merging
from membership.services.erasure import erase_from_database, erase_from_files
from membership.services.merging import dry_run, merge_customers, undo_merge
from membership.services.verification import verify_run
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.engine.results import run_folder
from segmentation.models import (
    Customer,
    CustomerList,
    CustomerListMember,
    CustomerMerge,
    CustomerTag,
    Event,
    FactBatch,
    ManualMember,
    Objection,
    Order,
    Referral,
    Run,
    Segment,
)
from segmentation.services import privacy
from segmentation.services.manual_members import exclude_customer, include_customer
from segmentation.services.merge_moves import Writer
from segmentation.services.merging import UNDO_FOR
from tests.fixtures.world import World

from .test_erasure import DEFINED, run_again
from .test_erasure_stores import bitmaps_with

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)


def one(name: str) -> Customer:
    return Customer.objects.get(external_id=name)


def writer(**more: Any) -> Writer:
    now = real_now()
    return Writer(**{
        "source": FactBatch.Source.ADMIN, "actor": "support", "recorded_at": now, "now": now,
        **more,
    })  # fmt: skip


def merge(old: str = "A", into: str = "B", **more: Any) -> CustomerMerge:
    return merge_customers(one(into).pk, one(old).pk, reason="same person", writer=writer(), **more)


def undo(found: CustomerMerge, **more: Any) -> CustomerMerge:
    return undo_merge(found.pk, reason="they are two", writer=writer(**more))


@pytest.fixture
def world() -> World:
    """A and B are one person. A is silver, B is in no tier; C brought A."""
    world = World()
    world.apply(DEFINED)
    world.record(
        "customers",
        {"customer_id": "A", "name": "Ann", "phone": "139", "consent_marketing": "false",
         "tag:taste": "sweet", "tag:mood": "calm"},
        {"customer_id": "B", "name": "Anna", "home_store": "S1", "consent_marketing": "true",
         "tag:taste": "salty"},
        {"customer_id": "C"},
    )  # fmt: skip
    world.order("A", "2026-01-20T10:00", "600")
    world.order("B", "2026-01-21T10:00", "50")
    world.order("C", "2026-01-21T10:00", "120")
    world.record("order_lines", {"order_id": "O1", "line_no": "1", "amount": "600", "sku": "S"})
    world.record("events", {"event_id": "E1", "customer_id": "A", "name": "visit",
                            "occurred_at": "2026-01-20T09:00"})  # fmt: skip
    world.record(
        "referrals",
        {"referral_id": "F1", "referrer_id": "C", "referee_id": "A",
         "occurred_at": "2026-01-10T09:00"},
        {"referral_id": "F2", "referrer_id": "B", "referee_id": "A",
         "occurred_at": "2026-01-10T09:00"},
        {"referral_id": "F3", "referrer_id": "A", "referee_id": "C",
         "occurred_at": "2026-01-10T09:00"},
    )  # fmt: skip
    world.run("2026-02-01")
    return world


def test_the_survivor_has_everything_and_the_old_id_counts_nowhere(world: World) -> None:
    assert world.tiers() == {"A": "silver", "C": "silver"}
    before = one("A").ordinal
    shown = dry_run(one("B"), one("A"))
    assert (shown.moves.orders, shown.moves.events) == (1, 1)
    assert (shown.moves.referrals, shown.moves.set_aside) == (2, 1)
    assert shown.moves.tags == ("mood=calm",)  # B has a taste of its own
    assert (shown.moves.filled, shown.moves.consent) == (("phone",), False)
    assert Order.objects.filter(customer=one("A")).count() == 1  # looked only
    found = merge(digest=shown.digest)
    assert found.moved == {"orders": 1, "events": 1, "referrals": 3, "tags": 1}
    survivor = one("B")
    assert (survivor.name, survivor.phone, survivor.home_store) == ("Anna", "139", "S1")
    assert survivor.consent_marketing is False  # the stricter wins
    assert world.tiers() == {"B": "silver", "C": "silver"}
    pairs = Referral.objects.order_by("external_id").values_list(
        "referrer__external_id", "referee__external_id"
    )
    assert list(pairs) == [("C", "B"), ("A", "A"), ("B", "C")]  # nobody referred themselves
    kinds = Transition.objects.filter(instant_batch__isnull=False).order_by("pk")
    assert list(kinds.values_list("customer__external_id", "kind", "reasons")) == [
        ("A", "exit", ["merged"]), ("B", "entry", ["merged", "only_merged"]),
    ]  # fmt: skip
    first = Run.objects.get()
    assert verify_run(first.pk, now=real_now()).equal  # the older watermark answers as before
    run = run_again("2026-02-02")
    assert run.customers == 2
    assert world.members(run, "spenders") == {"B", "C"}
    assert world.tiers() == {"B": "silver", "C": "silver"}
    assert not {key for number, key, part in bitmaps_with(before)
                if number == run.pk and part != "left"}  # fmt: skip
    for name in ("snapshot", "memberships", "hashes"):
        table = pq.read_table(run_folder(run.pk) / f"{name}.parquet")
        assert "A" not in table["external_id"].to_pylist(), name
    rows = pq.read_table(run_folder(run.pk) / "snapshot.parquet").to_pylist()
    spend = {row["external_id"]: row for row in rows}["B"]
    assert any(value == 6_500_000 for value in spend.values())  # 650.0000
    assert verify_run(run.pk, now=real_now()).equal
    assert verify_run(first.pk, now=real_now()).equal


def test_what_the_dry_run_showed_or_nothing(world: World) -> None:
    shown = dry_run(one("B"), one("A"))
    world.order("A", "2026-01-22T10:00", "1")
    with pytest.raises(TierwiseError, match="changed") as refused:
        merge(digest=shown.digest)
    assert refused.value.code == "changed"
    assert not CustomerMerge.objects.exists()
    assert one("A").merged_into is None


def test_who_can_not_be_merged(world: World) -> None:
    def code(act: Callable[[], object]) -> str:
        with pytest.raises(TierwiseError) as refused:
            act()
        return refused.value.code

    assert code(lambda: merge("A", "A")) == "same_customer"
    merge("A", "B")
    assert code(lambda: merge("A", "C")) == "not_found"  # merged already
    assert code(lambda: merge("C", "A")) == "not_found"  # so no chain, no circle
    assert code(lambda: merge("B", "A")) == "not_found"
    blank = merge_customers
    assert code(lambda: blank(one("C").pk, one("B").pk, reason=" ", writer=writer())) == (
        "reason_required"
    )
    asked = privacy.request_erasure(
        one("C"), confirmation="C", by=privacy.Bringer("a", "admin"), now=real_now()
    )
    erase_from_database(asked, now=real_now())
    erased = Customer.objects.get(erased_at__isnull=False)
    assert code(lambda: merge_customers(one("B").pk, erased.pk, reason="x", writer=writer())) == (
        "not_found"
    )
    assert CustomerMerge.objects.count() == 1


def test_facts_sent_under_the_old_id_are_the_survivors(world: World) -> None:
    merge()
    customers = Customer.objects.count()
    world.order("A", "2026-01-25T10:00", "70")
    world.record("events", {"event_id": "E2", "customer_id": "A", "name": "visit",
                            "occurred_at": "2026-01-25T09:00"})  # fmt: skip
    world.record("tags", {"customer_id": "A", "group": "mood", "value": "stormy"})
    world.record("customers", {"customer_id": "A", "name": "Old", "city": "X"})
    assert Customer.objects.count() == customers  # no stub comes back
    assert Order.objects.get(external_id="O4").customer == one("B")
    assert Event.objects.get(external_id="E2").customer == one("B")
    live = CustomerTag.objects.filter(customer=one("B"), is_removed=False)
    assert set(live.values_list("group", "value")) == {("taste", "salty"), ("mood", "stormy")}
    assert (one("B").name, one("B").city) == ("Anna", None)
    assert (one("A").name, one("A").merged_into) == ("Old", one("B"))


def test_lists_manual_rows_and_objections_survive(world: World) -> None:
    """Case S16: exclude wins, whichever of the two it was said of."""
    segment = Segment.objects.get(key="spenders")
    include_customer(segment, customer=one("B"), reason="vip", actor="x")
    exclude_customer(segment, customer=one("A"), reason="staff", actor="x")
    privacy.object_to_decisions(one("A"), by=privacy.Bringer("a", "admin"), now=real_now())
    for key, names in (("both", "AB"), ("only", "A")):
        row = CustomerList.objects.create(key=key, label_en=key, label_zh_hans=key, size=len(names))
        for name in names:
            CustomerListMember.objects.create(list=row, customer=one(name))
    found = merge()
    assert set(ManualMember.objects.values_list("customer__external_id", "kind")) == {
        ("B", "include"), ("B", "exclude"),
    }  # fmt: skip
    assert Objection.objects.get().customer == one("B")
    assert dict(CustomerList.objects.values_list("key", "size")) == {"both": 1, "only": 1}
    assert set(CustomerListMember.objects.values_list("customer__external_id", flat=True)) == {"B"}
    run = run_again("2026-02-02")
    assert "B" not in world.members(run, "spenders")
    assert "B" not in world.members(run, "others")  # hidden, and they object
    undo(found)
    assert set(ManualMember.objects.values_list("customer__external_id", "kind")) == {
        ("B", "include"), ("A", "exclude"),
    }  # fmt: skip
    assert Objection.objects.get().customer == one("A")
    assert dict(CustomerList.objects.values_list("key", "size")) == {"both": 2, "only": 1}
    only = CustomerListMember.objects.get(list__key="only")
    assert only.customer == one("A")


@pytest.mark.parametrize("run_between", [False, True])
def test_an_undo_leaves_a_world_without_the_merge(world: World, run_between: bool) -> None:
    """The same recorded hash as the control, in which nothing was merged: a dry run before."""
    control = world.run("2026-02-03", is_dry_run=True)
    control_as_it_was = dict(Customer.objects.values_list("external_id", "phone"))
    found = merge()
    if run_between:
        run_again("2026-02-02")
    undo(found)
    assert dict(Customer.objects.values_list("external_id", "phone")) == control_as_it_was
    assert one("B").consent_marketing is True
    pairs = Referral.objects.order_by("external_id").values_list(
        "referrer__external_id", "referee__external_id"
    )
    assert list(pairs) == [("C", "A"), ("B", "A"), ("A", "C")]
    assert world.tiers() == {"A": "silver", "C": "silver"}
    again = run_again("2026-02-03")
    assert again.recorded_hash == control.recorded_hash
    assert again.customers == control.customers == 3
    for run in Run.objects.exclude(status="failed"):
        assert verify_run(run.pk, now=real_now()).equal, run


def test_facts_since_go_to_the_id_they_were_sent_under(world: World) -> None:
    found = merge()
    old = world.order("A", "2026-01-25T10:00", "70")
    own = world.order("B", "2026-01-26T10:00", "80")
    both = world.order("A", "2026-01-27T10:00", "90")
    world.record("orders", {"order_id": both, "customer_id": "B", "amount": "90",
                            "placed_at": "2026-01-27T10:00"})  # fmt: skip
    world.record("tags", {"customer_id": "A", "group": "mood", "value": "stormy"})
    undo(found)
    owners = dict(Order.objects.values_list("external_id", "customer__external_id"))
    assert (owners["O1"], owners[old], owners[own], owners[both]) == ("A", "A", "B", "B")
    live = CustomerTag.objects.filter(is_removed=False)
    assert set(live.values_list("customer__external_id", "group", "value")) >= {
        ("A", "mood", "stormy"), ("A", "taste", "sweet"), ("B", "taste", "salty"),
    }  # fmt: skip
    world.order("A", "2026-01-28T10:00", "5")
    assert Order.objects.get(external_id="O7").customer == one("A")


def test_what_was_changed_since_stays(world: World) -> None:
    found = merge()
    world.record("customers", {"customer_id": "B", "phone": "138"})
    ManualMember.objects.all().delete()
    undo(found)
    assert (one("B").phone, one("A").phone) == ("138", "139")


def test_an_instant_comes_back_to_the_microsecond(world: World) -> None:
    """Times have microseconds, and JSON by Django's encoder has not."""
    given = "2025-12-01T10:00:00.123456+08:00"
    world.record("customers", {"customer_id": "B", "consent_at": given})
    found = merge()
    assert one("B").consent_at is None  # with A's no, of which no time is known
    undo(found)
    assert one("B").consent_at == datetime.fromisoformat(given)
    assert one("B").consent_marketing is True


def test_who_was_brought_under_both_ids(world: World) -> None:
    """Two referrals stay two facts; customers brought are counted once each."""
    world.apply({"metrics": [{"key": "referrals", "source": "referrals", "unit": "count",
                              "aggregate": {"fn": "count"}, "window": {"all": True}}]})  # fmt: skip
    world.record("referrals", {"referral_id": "F4", "referrer_id": "C", "referee_id": "B",
                               "occurred_at": "2026-01-10T09:00"})  # fmt: skip
    world.run("2026-02-02")
    counted = profile_document("C")["metrics"]
    assert (counted["referrals"], counted["brought"]) == ("2", "2")
    merge()
    run_again("2026-02-03")
    counted = profile_document("C")["metrics"]
    assert (counted["referrals"], counted["brought"]) == ("2", "1")


def test_chains_are_undone_from_the_end_and_only_for_thirty_days(world: World) -> None:
    first = merge("A", "B")
    second = merge("B", "C")
    assert one("A").merged_into == one("C")  # never an alias of an alias
    world.order("A", "2026-01-25T10:00", "70")
    assert Order.objects.get(external_id="O4").customer == one("C")
    with pytest.raises(TierwiseError) as refused:
        undo(first)
    assert refused.value.code == "merged_again"
    undo(second)
    assert one("A").merged_into == one("B")
    assert Order.objects.get(external_id="O4").customer == one("B")
    with pytest.raises(TierwiseError) as refused:
        undo(second)
    assert refused.value.code == "undone"
    late = first.merged_at + UNDO_FOR
    with pytest.raises(TierwiseError) as refused:
        undo(first, recorded_at=late)
    assert refused.value.code == "too_late"
    undo(first)
    assert one("A").merged_into is None
    assert Order.objects.get(external_id="O4").customer == one("A")
    assert dict(Order.objects.values_list("external_id", "customer__external_id")) == {
        "O1": "A", "O2": "B", "O3": "C", "O4": "A",
    }  # fmt: skip


def test_erasing_the_survivor_erases_both_ids(world: World) -> None:
    found = merge()
    run_again("2026-02-02")
    ordinals = [one("A").ordinal, one("B").ordinal]
    asked = privacy.request_erasure(
        one("B"), confirmation="B", by=privacy.Bringer("a", "admin"), now=real_now()
    )
    erase_from_database(asked, now=real_now())
    erase_from_files(now=real_now())
    assert not Customer.objects.filter(external_id__in=("A", "B")).exists()
    assert Customer.objects.filter(erased_at__isnull=False).count() == 2
    assert not [ordinal for ordinal in ordinals if bitmaps_with(ordinal)]
    found.refresh_from_db()
    assert (found.reason, found.kept) == ("", {})
    with pytest.raises(NotFoundError):
        undo(found)
    world.order("A", "2026-01-25T10:00", "70")
    assert one("A").is_stub  # a stranger of the same id
    for run in Run.objects.all():
        assert verify_run(run.pk, now=real_now()).equal


def test_a_killed_merge_has_done_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is one transaction, so there is no half: not even at its very end."""

    def killed(**_: object) -> None:
        raise KeyboardInterrupt

    versions = FactBatch.objects.count()
    monkeypatch.setattr(merging, "start_over", killed)
    with pytest.raises(KeyboardInterrupt):
        merge()
    assert FactBatch.objects.count() == versions
    assert not CustomerMerge.objects.exists()
    assert one("A").merged_into is None
    assert world.tiers() == {"A": "silver", "C": "silver"}
    assert Membership.objects.count() == 2
