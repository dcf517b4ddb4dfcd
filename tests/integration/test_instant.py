"""The instant path: S14 (it and the run agree), S17 (bounded batches), and that it gives only."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from config.clock import real_now
from membership.models import InstantBatch, InstantStanding, Membership, Transition
from membership.services import instant, publish_run, recompute
from membership.services.erasure import erase_from_database
from membership.services.instant import Done, do_batch
from membership.services.member_view import member_view
from membership.services.verification import verify_run
from segmentation.engine import direct_facts
from segmentation.engine.schema import MIRROR_KINDS
from segmentation.models import Customer, CustomerMark, Run
from segmentation.services import privacy
from segmentation.services.marks import mark_again
from tests.fixtures.plans import nodes_of
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    return World()


@pytest.fixture
def shop(world: World) -> World:
    """Two customers known at 02:00, one of them silver."""
    world.apply(CLUB)
    world.order("C1", "2026-03-01T10:00:00", "150")
    world.order("C2", "2026-03-01T11:00:00", "10")
    due_now()
    world.run("2026-03-10T02:00:00")
    assert world.tiers() == {"C1": "silver"}
    assert not CustomerMark.objects.exists()
    return world


def batch(at: str, *, most: int = 100) -> Done | None:
    return do_batch(clock=lambda: day(at), real=real_now, most=most)


def due_now() -> None:
    """Marks say when they were made by the project's clock; the shop lives in March."""
    CustomerMark.objects.update(due_at=day("2026-03-10T02:00:00"))


def moves() -> list[tuple[str, str, str, str]]:
    found = Transition.objects.filter(instant_batch__isnull=False)
    return sorted(found.values_list("customer__external_id", "kind", "from_tier", "to_tier"))


def test_an_order_changes_the_tier_at_once(shop: World) -> None:
    shop.order("C2", "2026-03-10T09:59:00", "95")
    due_now()
    assert batch("2026-03-10T10:00:00") == Done(customers=1, changes=1)
    assert shop.tiers() == {"C1": "silver", "C2": "silver"}
    assert moves() == [("C2", "entry", "", "silver")]
    held = Membership.objects.get(customer__external_id="C2")
    assert held.since == day("2026-03-10T10:00:00")
    assert held.until == day("2026-04-10T00:00:00")
    assert not CustomerMark.objects.exists()
    assert batch("2026-03-10T10:00:01") is None


def test_the_next_run_starts_from_it(shop: World) -> None:
    shop.order("C2", "2026-03-10T09:59:00", "95")
    due_now()
    batch("2026-03-10T10:00:00")
    run = shop.run("2026-03-11T02:00:00")
    assert shop.moves(run) == []
    assert shop.tiers() == {"C1": "silver", "C2": "silver"}
    assert Membership.objects.get(customer__external_id="C2").since == day("2026-03-10T10:00:00")
    assert verify_run(run.pk, now=real_now()).equal
    again = shop.run("2026-03-11T02:00:00")
    assert again.recorded_hash == run.recorded_hash
    assert shop.moves(again) == []
    assert verify_run(again.pk, now=real_now()).equal
    later = shop.run("2026-03-12T02:00:00")
    assert shop.moves(later) == []
    assert verify_run(later.pk, now=real_now()).equal


def test_run_and_instant_path_agree_on_the_same_facts(shop: World) -> None:
    shop.order("C1", "2026-03-10T09:00:00", "860")
    shop.order("C2", "2026-03-10T09:00:00", "2000")
    due_now()
    batch("2026-03-10T10:00:00")
    found = list(Membership.objects.order_by("pk").values_list("tier", "rank", "since", "until"))
    values = list(Transition.objects.order_by("-pk").values_list("values", "reasons")[:2])
    run = shop.run("2026-03-10T10:00:00")
    assert shop.moves(run) == []
    again = list(Membership.objects.order_by("pk").values_list("tier", "rank", "since", "until"))
    assert again == found
    assert sorted(str(pair) for pair in values) == sorted(
        [
            str(({"spend": "1010.00"}, ["qualifies_higher"])),
            str(({"spend": "2010.00"}, ["qualifies"])),
        ]
    )


def test_it_takes_nothing_away(shop: World) -> None:
    """C1's term ends on 10 April: an order of that day may renew it, but never ends it."""
    shop.order("C1", "2026-04-10T00:30:00", "1")
    CustomerMark.objects.update(due_at=day("2026-04-10T00:30:01"))
    assert batch("2026-04-10T00:31:00") == Done(customers=1, changes=0)
    assert shop.tiers() == {"C1": "silver"}
    assert moves() == []
    run = shop.run("2026-04-10T02:00:00")
    assert shop.moves(run) == [("C1", "grace", "silver", "silver")]
    shop.order("C1", "2026-04-11T10:00:00", "100")
    CustomerMark.objects.update(due_at=day("2026-04-11T10:00:01"))
    assert batch("2026-04-11T10:01:00") == Done(customers=1, changes=1)
    assert moves() == [("C1", "renewal", "silver", "silver")]


def test_a_fact_of_the_near_future_waits_for_its_time(world: World) -> None:
    world.apply(CLUB)
    world.order("C1", "2026-03-01T10:00:00", "10")
    due_now()
    world.run("2026-03-10T02:00:00")
    soon = real_now() + timedelta(minutes=1)
    world.order("C1", soon.isoformat(), "500")
    assert do_batch(clock=lambda: soon, real=real_now) is None
    assert do_batch(clock=lambda: soon + timedelta(microseconds=1), real=real_now) == Done(1, 1)
    assert world.tiers() == {"C1": "silver"}


def test_a_fact_of_the_future_keeps_none_of_the_present_waiting(shop: World) -> None:
    """Sent together, of one customer: each counts from its own time on."""
    now = real_now()
    sent = {"customer_id": "C2", "amount": "150"}
    shop.record(
        "orders",
        {**sent, "order_id": "N1", "placed_at": (now - timedelta(minutes=1)).isoformat(),
         "completed_at": (now + timedelta(hours=2)).isoformat()},
        {**sent, "order_id": "N2", "placed_at": (now + timedelta(hours=20)).isoformat()},
    )  # fmt: skip
    assert do_batch(clock=real_now, real=real_now) == Done(1, 1)
    assert shop.tiers() == {"C1": "silver", "C2": "silver"}
    waiting = CustomerMark.objects.order_by("due_at").values_list("due_at", flat=True)
    ahead = [timedelta(hours=hours, microseconds=1) for hours in (2, 20)]
    assert [due - now for due in waiting] == ahead


def test_ten_thousand_marks_make_a_bounded_number_of_batches(shop: World) -> None:
    """S17: 50 customers with 200 marks each are looked at once each."""
    rows = [
        {"order_id": f"X{n}", "customer_id": f"N{n % 50}", "placed_at": "2026-03-10T09:00:00",
         "amount": "1"}
        for n in range(200)
    ]  # fmt: skip
    for row in rows[:50]:
        shop.record("orders", row)
    mark = CustomerMark.objects.all()
    CustomerMark.objects.bulk_create(
        [CustomerMark(customer_id=one.customer_id, due_at=one.due_at, marked_at=one.marked_at)
         for one in mark for _ in range(199)]
    )  # fmt: skip
    assert CustomerMark.objects.count() == 10_000
    due_now()
    batches = 0
    while batch("2026-03-10T10:00:00", most=2000) is not None:
        batches += 1
    assert batches == 1
    assert not CustomerMark.objects.exists()


@pytest.mark.parametrize("kind", ["orders", "order_lines", "refunds"])
def test_a_batch_reads_no_whole_table(kind: str) -> None:
    """S01: with twenty million orders one customer's referrals would read all of them."""
    kinds = frozenset({"customers", "orders", "order_lines", "refunds", "referrals"})
    table = MIRROR_KINDS[kind].table
    with transaction.atomic(), connection.cursor() as cursor:
        # A plan that can use its indexes then does, however small the tables are.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")  # it would read an index from end to end
        cursor.execute("EXPLAIN (FORMAT JSON) " + direct_facts._query(kind, [1, 2], kinds))
        found = cursor.fetchone()[0]
        (plan,) = json.loads(found) if isinstance(found, str) else found
    scans = [node for node in nodes_of(plan["Plan"]) if node.get("Relation Name") == table]
    assert scans
    assert all({"Index Cond", "Recheck Cond"} & node.keys() for node in scans), scans


def test_nothing_happens_before_the_first_run(world: World) -> None:
    world.apply(CLUB)
    world.order("C1", "2026-03-01T10:00:00", "150")
    assert CustomerMark.objects.count() == 1
    assert batch("2026-03-10T10:00:00") is None
    assert CustomerMark.objects.count() == 1
    assert world.tiers() == {}


def test_a_run_clears_the_marks_it_has_seen(shop: World) -> None:
    shop.order("C2", "2026-03-10T09:59:00", "95")
    due_now()
    run = shop.run("2026-03-11T02:00:00")
    assert shop.moves(run) == [("C2", "entry", "", "silver")]
    assert not CustomerMark.objects.exists()


def test_what_a_run_marked_is_cleared_by_the_run_of_a_later_as_of(shop: World) -> None:
    """Where no loop is running nothing waits for ever."""
    customer = Customer.objects.get(external_id="C2")
    mark_again([customer.pk], now=day("2026-03-10T02:00:00"), real=real_now())
    shop.run("2026-03-10T02:00:00")
    assert CustomerMark.objects.filter(customer=customer).count() == 1
    shop.run("2026-03-11T02:00:00")
    assert not CustomerMark.objects.exists()


def test_a_run_leaves_alone_what_an_order_changed_meanwhile(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instant path upgrades C2 between the moment the run reads memberships and its end."""
    shop.order("C2", "2026-03-10T09:59:00", "95")
    publish = publish_run.publish

    def late(*args: object, **named: object) -> None:
        due_now()
        assert batch("2026-03-10T10:00:00") == Done(1, 1)
        publish(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(recompute, "publish", late)
    run = shop.run("2026-03-11T02:00:00")
    monkeypatch.setattr(recompute, "publish", publish)
    assert run.status == Run.Status.PUBLISHED
    assert shop.moves(run) == []
    assert moves() == [("C2", "entry", "", "silver")]
    assert Membership.objects.get(customer__external_id="C2").since == day("2026-03-10T10:00:00")
    assert CustomerMark.objects.count() == 1  # looked at again
    assert batch("2026-03-11T02:00:01") == Done(1, 0)
    following = shop.run("2026-03-12T02:00:00")
    assert shop.moves(following) == []
    assert verify_run(following.pk, now=real_now()).equal


def test_who_is_new_during_the_mirrors_step_is_a_member_once(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S15: a run whose mirror does not know somebody yet, who has a tier by the time it looks at
    memberships, hands that on to the next run; else that one would give the tier again, and fail.
    """
    read = recompute.definition_set

    def after_the_mirror() -> Any:
        if not Customer.objects.filter(external_id="zoe").exists():
            shop.order("zoe", "2026-03-10T09:00:00", "150")
            due_now()
            assert batch("2026-03-10T10:00:00") == Done(customers=1, changes=1)
        return read()

    monkeypatch.setattr(recompute, "definition_set", after_the_mirror)
    recompute.request_run(as_of=day("2026-03-11T02:00:00"), actor="tester", now=real_now())
    first = recompute.execute_next_run(clock=real_now)
    assert first is not None
    assert (first.status, first.customers) == (Run.Status.PUBLISHED, 2)  # zoe is not among them
    second = shop.run("2026-03-12T02:00:00")

    assert second.status == Run.Status.PUBLISHED, second.error
    assert moves() == [("zoe", "entry", "", "silver")]
    assert shop.moves(first) == shop.moves(second) == []
    assert shop.tiers() == {"C1": "silver", "zoe": "silver"}
    assert verify_run(first.pk, now=real_now()).equal
    assert verify_run(second.pk, now=real_now()).equal


def test_one_customer_whose_facts_fail_keeps_nobody_waiting(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        shop.order(f"N{number}", "2026-03-10T09:00:00", "200")
    due_now()
    bad = CustomerMark.objects.get(customer__external_id="N5").customer_id
    compute = instant._compute

    def failing(customers: list[int], *args: object, **named: object) -> object:
        if bad in customers:
            raise ZeroDivisionError("a fact nobody foresaw")
        return compute(customers, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(instant, "_compute", failing)
    assert batch("2026-03-10T10:00:00") == Done(customers=7, changes=7, failed=1)
    assert "N5" not in shop.tiers()
    left = CustomerMark.objects.get()
    assert (left.customer_id, left.attempts) == (bad, 1)
    assert left.error == "ZeroDivisionError: a fact nobody foresaw"
    assert left.retry_at is not None
    assert batch("2026-03-10T10:00:01") is None  # it rests
    monkeypatch.setattr(instant, "_compute", compute)
    later: datetime = left.retry_at
    assert do_batch(clock=lambda: day("2026-03-10T10:01:00"), real=lambda: later) == Done(1, 1)
    assert shop.tiers()["N5"] == "silver"


@pytest.mark.parametrize("clock", ["2026-03-10T10:00:00", "2026-03-10T01:00:00"])
def test_the_members_gap_is_as_fresh_as_the_tier(shop: World, clock: str) -> None:
    """Also while the clock lies behind the newest run's as-of."""
    shop.order("C2", "2026-03-10T00:59:00", "95")
    due_now()
    batch(clock)
    (view,) = member_view("C2") or ()
    assert view.tier == "silver"
    assert view.progress is not None
    assert [(str(gap.have), str(gap.missing)) for gap in view.progress] == [("105.00", "895.00")]
    shop.run("2026-03-11T02:00:00")
    assert not InstantStanding.objects.exists()
    (view,) = member_view("C2") or ()
    assert view.progress is not None
    assert [(str(gap.have), str(gap.missing)) for gap in view.progress] == [("105.00", "895.00")]


def test_an_erasure_takes_marks_and_values_with_it(shop: World) -> None:
    """S11: nothing of the instant path is left of somebody erased."""
    shop.order("C2", "2026-03-10T09:59:00", "95")
    due_now()
    batch("2026-03-10T10:00:00")
    shop.order("C2", "2026-03-10T10:59:00", "5")
    assert InstantStanding.objects.count() == CustomerMark.objects.count() == 1
    erase_from_database(
        privacy.request_erasure(
            Customer.objects.get(external_id="C2"),
            confirmation="C2",
            by=privacy.Bringer("support_agent", "admin"),
            now=real_now(),
        ),
        now=real_now(),
    )
    assert not InstantStanding.objects.exists()
    assert not CustomerMark.objects.exists()
    assert batch("2026-03-10T11:00:00") is None
    assert shop.tiers() == {"C1": "silver"}


def test_a_batch_without_changes_leaves_no_row(shop: World) -> None:
    shop.order("C2", "2026-03-10T09:59:00", "1")
    due_now()
    assert batch("2026-03-10T10:00:00") == Done(1, 0)
    assert not InstantBatch.objects.exists()
