"""Home by role: which blocks each person finds, in which order, and what their figures count."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pgtrigger
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pyroaring import BitMap

from config import clock
from config.home.blocks import Block
from config.home.page import without_holes
from config.home.runs import next_due
from membership.models import Membership, Transition
from membership.services.home import stopped_feeds
from segmentation.models import (
    AccessRecord,
    ApiKey,
    ApiKeyUse,
    Customer,
    Draft,
    FactBatch,
    Job,
    Run,
    Segment,
    SegmentResult,
    StaffScope,
)
from tests.fixtures.cast import OWN_STORE, Cast
from tests.fixtures.sample import AS_OF, HIDDEN_KEY, HIDDEN_LABEL_EN, Shop

Enter = Callable[..., Client]
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture(autouse=True)
def on_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's clock stands at the newest run of the sample."""
    monkeypatch.setattr(clock, "now", lambda: AS_OF)


def _blocks(enter: Enter, user: User, *, language: str = "en") -> dict[str, Any]:
    response = enter(user, language=language).get(reverse("admin:index"))
    assert response.status_code == 200
    return {block.key: block for block in response.context["blocks"]}


def _table(block: Any) -> list[tuple[str, ...]]:
    """The cells of a block's table as a person reads them."""
    return [tuple(_words(cell) for cell in row) for row in block.context["table"].rows]


def _words(cell: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", str(cell))).strip()


@pytest.mark.parametrize(
    ("person", "keys"),
    [
        (
            "operations_manager",
            ["newest-run", "alerts", "wrong", "waiting", "tiers", "segments", "moved", "imports"],
        ),
        (
            "reviewer",
            ["newest-run", "alerts", "wrong", "waiting", "tiers", "segments", "publishes", "moved"],
        ),
        (
            "analyst",
            ["newest-run", "alerts", "wrong", "waiting", "tiers", "segments", "publishes", "moved"],
        ),
        ("support_agent", ["search", "tiers", "moved"]),
        ("store_manager", ["search", "stores", "waiting", "tiers", "moved"]),
        (
            "auditor",
            [
                "accesses", "publishes", "newest-run", "alerts", "wrong", "waiting", "tiers",
                "segments", "moved",
            ],
        ),
        (
            "integration",
            ["keys", "imports", "newest-run", "wrong", "waiting", "tiers", "segments", "moved"],
        ),
        ("stranger", []),
    ],
)  # fmt: skip
def test_each_role_finds_its_blocks(
    cast: Cast, shop: Shop, enter: Enter, person: str, keys: list[str]
) -> None:
    assert list(_blocks(enter, getattr(cast, person))) == keys


def test_no_narrow_block_stands_alone() -> None:
    narrow = [Block(name, "x.html", is_wide=False) for name in "abc"]
    wide = Block("w", "x.html")
    placed = without_holes([*narrow, wide, narrow[0]])
    assert [block.is_wide for block in placed] == [False, False, True, True, True]


def test_the_newest_run_and_when_the_next_is_due(cast: Cast, shop: Shop, enter: Enter) -> None:
    run = _blocks(enter, cast.operations_manager)["newest-run"]
    figures = {str(fact.name): _words(fact.value) for fact in run.context["facts"]}
    assert figures["As of"] == "2026-03-02 00:00"
    assert figures["Took"] == "2.4 s"
    assert figures["Customers"] == "6"
    assert run.context["recompute_url"] == reverse("admin:segmentation_run_recompute")
    assert _blocks(enter, cast.auditor)["newest-run"].context["recompute_url"] == ""


@pytest.mark.django_db
def test_the_next_run_is_due_at_the_next_full_schedule() -> None:
    from django_celery_beat.models import CrontabSchedule, PeriodicTask

    assert next_due(now=AS_OF) is None  # nothing is scheduled
    daily = CrontabSchedule.objects.create(minute="0", hour="2", timezone="Asia/Shanghai")
    task = PeriodicTask.objects.create(
        name="daily", task="membership.tasks.recompute_daily", crontab=daily
    )
    due = next_due(now=clock.now())
    assert due is not None
    assert due.astimezone(SHANGHAI) == datetime(2026, 3, 2, 2, 0, tzinfo=SHANGHAI)
    task.enabled = False
    task.save()
    assert next_due(now=clock.now()) is None


def test_members_per_tier_with_change_and_terms_that_end(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    soon = Membership.objects.order_by("pk")[0]
    soon.until = AS_OF + timedelta(days=30)
    soon.save()
    later = Membership.objects.order_by("pk")[1]
    later.until = AS_OF + timedelta(days=31)
    later.save()
    block = _blocks(enter, cast.operations_manager)["tiers"]
    assert _table(block) == [
        ("Gold", "2", "", "+1", "0"),
        ("Silver", "4", "", "−1", "1"),
    ]
    link = str(block.context["table"].rows[1][-1])
    assert "until_from=2026-03-03&amp;until_to=2026-04-01" in link
    address = link.split('href="')[1].split('"')[0].replace("&amp;", "&")
    listed = enter(cast.operations_manager).get(address).context["cl"].result_list
    assert [row.pk for row in listed] == [soon.pk]  # the figure leads to what it counts


def test_who_moved_last_leaves_renewals_out(cast: Cast, shop: Shop, enter: Enter) -> None:
    first = Transition.objects.order_by("pk")[0]
    with pgtrigger.ignore("membership.Transition:append_only"):
        Transition.objects.filter(pk=first.pk).update(kind="renewal", from_tier="silver")
    rows = _table(_blocks(enter, cast.operations_manager)["moved"])
    assert [row[0] for row in rows] == ["C1005", "C1004", "C1003", "C1002", "C1001"]
    assert rows[0] == (
        "C1005", "Gold Club", "Entry", "– → Silver", "qualifies for this tier", "2026-03-02 00:00",
    )  # fmt: skip


def _resize(shop: Shop, segment: Segment, *, before: int, now: int) -> None:
    """Results of a segment at the two runs of the sample: its first `before` and `now` people."""
    runs = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("as_of")
    SegmentResult.objects.filter(segment=segment).delete()
    for run, size in zip(runs, (before, now), strict=True):
        SegmentResult.objects.create(
            run=run, segment=segment, size=size, entered_count=0, left_count=0,
            members=BitMap(range(size)).serialize(), entered=BitMap().serialize(),
            left=BitMap().serialize(),
        )  # fmt: skip


def test_segments_that_changed_most_come_first(cast: Cast, shop: Shop, enter: Enter) -> None:
    """Without the right a hidden segment is in no row, by its name or by its change."""
    _resize(shop, shop.segment, before=3, now=4)
    _resize(shop, shop.hidden, before=5, now=2)
    seen = _table(_blocks(enter, cast.operations_manager)["segments"])
    assert seen == [
        (HIDDEN_LABEL_EN, "Hidden", "2", "−3"),
        (shop.segment.label_en, "Internal", "4", "+1"),
    ]
    assert _table(_blocks(enter, cast.analyst)["segments"]) == [
        (shop.segment.label_en, "4", "+1"),
    ]


def test_unchanged_segments_are_left_out(cast: Cast, shop: Shop, enter: Enter) -> None:
    block = _blocks(enter, cast.operations_manager)["segments"]
    assert _table(block) == []
    assert "No segment has changed its size" in str(block.context["table"].empty)


def test_what_is_wrong(cast: Cast, shop: Shop, enter: Enter) -> None:
    rows = _table(_blocks(enter, cast.operations_manager)["wrong"])
    assert [row[2] for row in rows] == [
        "parity: segment whisper_orchid differs",
        "12 of 1,240 rows of “Orders” were rejected.",
    ]


def test_an_error_that_names_a_hidden_segment_is_restricted(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    rows = _table(_blocks(enter, cast.analyst)["wrong"])
    assert rows[0][2] == "Details are restricted."


def _feed(kind: str, *days_ago: int, now: datetime, inserted: int = 1) -> None:
    for back in days_ago:
        FactBatch.objects.create(
            kind=kind, source="api", actor="shop", recorded_at=now - timedelta(days=back),
            read=1, inserted=inserted,
        )  # fmt: skip


@pytest.mark.django_db
def test_a_feed_has_stopped_when_it_is_silent_for_longer_than_ever() -> None:
    now = datetime(2026, 3, 20, 4, 0, tzinfo=UTC)
    _feed("orders", 3, 5, 6, 8, now=now)  # every second day, silent for three
    _feed("orders", 0, now=now, inserted=0)  # the same rows again are nothing new
    _feed("events", 2, 4, 6, 8, now=now)  # on time
    _feed("referrals", 40, 41, 42, now=now)  # no habit yet
    _feed("refunds", 1, 2, 3, 4, now=now)  # today's may still come
    found = stopped_feeds(("orders", "events", "referrals", "refunds"), now=now, zone=SHANGHAI)
    assert [(feed.kind, feed.silent_days, feed.usual_days) for feed in found] == [("orders", 3, 2)]
    assert found[0].last_on.isoformat() == "2026-03-17"


def test_a_stopped_feed_is_told(cast: Cast, shop: Shop, enter: Enter) -> None:
    _feed("events", 5, 6, 7, 8, now=clock.real_now())
    rows = _table(_blocks(enter, cast.operations_manager)["wrong"])
    assert rows[1][0] == "Events Feed stopped"
    assert rows[1][2] == "Nothing new for 5 days. Usually it comes at least every day."


def test_what_waits_for_me_is_mine_alone(cast: Cast, shop: Shop, enter: Enter) -> None:
    now = clock.real_now()
    Draft.objects.create(kind="metric", key="mine", document={}, author="analyst")
    Draft.objects.create(kind="metric", key="theirs", document={}, author="reviewer")
    Draft.objects.create(
        kind="segment", key=HIDDEN_KEY, document={}, author="analyst", is_hidden=True
    )

    def job(user: User, status: str, *, days: int = 0) -> None:
        Job.objects.create(
            kind="export", status=status, requested_by=user, actor=user.username,
            requested_at=now - timedelta(days=days), finished_at=now - timedelta(days=days),
        )  # fmt: skip

    job(cast.analyst, "failed")
    job(cast.analyst, "failed", days=8)
    job(cast.analyst, "done")
    job(cast.reviewer, "running")
    rows = _table(_blocks(enter, cast.analyst)["waiting"])
    assert [row[:2] for row in rows] == [("Export", "Failed"), ("Metric mine", "Draft")]


def test_a_store_manager_sees_figures_of_the_own_store_only(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    own = [customer.pk for customer in shop.customers[:2]]
    with pgtrigger.ignore("segmentation.Customer:change_needs_batch"):
        Customer.objects.update(home_store="S9")
        Customer.objects.filter(pk__in=own).update(home_store=OWN_STORE)
    blocks = _blocks(enter, cast.store_manager)
    assert blocks["stores"].context["stores"] == (OWN_STORE,)
    assert blocks["stores"].context["customers"] == "2"
    # Both entered at the newest as-of: the sample's own figures are 2 and 4.
    assert _table(blocks["tiers"]) == [
        ("Gold", "0", "", "±0", "0"),
        ("Silver", "2", "", "+2", "0"),
    ]
    assert [row[0] for row in _table(blocks["moved"])] == ["C1001", "C1000"]


def test_a_store_manager_without_a_store_is_told(cast: Cast, shop: Shop, enter: Enter) -> None:
    StaffScope.objects.all().delete()
    client = enter(cast.store_manager)
    assert "No store is assigned to you" in client.get(reverse("admin:index")).content.decode()
    assert _table(_blocks(enter, cast.store_manager)["moved"]) == []


def test_support_searches_first(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.support_agent)
    text = client.get(reverse("admin:index")).content.decode()
    address = reverse("admin:segmentation_customer_changelist")
    assert f'action="{address}"' in text
    assert text.index('id="search"') < text.index('id="tiers"')
    found = client.get(address, {"q": "5678"}).context["cl"].result_list
    assert len(found) == len(shop.customers)  # all share one phone


def test_the_auditor_sees_who_looked(cast: Cast, shop: Shop, enter: Enter) -> None:
    AccessRecord.objects.create(
        at=clock.real_now(), kind="view_hidden", via="admin", user=cast.operations_manager,
        actor="operations_manager", subject_kind="segment", subject_key=HIDDEN_KEY,
        is_hidden=True, rows=3,
    )  # fmt: skip
    rows = _table(_blocks(enter, cast.auditor)["accesses"])
    assert [row[1:] for row in rows] == [
        ("operations_manager", "Looked at a hidden segment", f"segment:{HIDDEN_KEY}", "3")
    ]


def test_who_looked_at_what_is_hidden_by_now_is_for_those_who_see_it(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    AccessRecord.objects.create(  # an export from before it was hidden
        at=clock.real_now(), kind="export", via="admin", user=cast.operations_manager,
        actor="operations_manager", subject_kind="segment", subject_key=HIDDEN_KEY, rows=3,
    )  # fmt: skip
    right = Permission.objects.get(codename="view_accessrecord")
    cast.analyst.user_permissions.add(right)
    assert _table(_blocks(enter, cast.analyst)["accesses"]) == []
    assert len(_table(_blocks(enter, cast.auditor)["accesses"])) == 1


def test_an_integration_sees_keys_and_their_last_calls(
    cast: Cast, shop: Shop, enter: Enter, settings: Any
) -> None:
    settings.API_THROTTLE_RATE = "10/minute"
    ApiKey.objects.create_key(name="till", scopes=["runs:read"])
    ApiKeyUse.objects.create(key=ApiKey.objects.get(), stretch=29_540_160, requests=2)
    old, _secret = ApiKey.objects.create_key(name="old", scopes=[])
    old.revoked = True
    old.save()
    rows = _table(_blocks(enter, cast.integration)["keys"])
    assert rows == [("till", "runs:read", "2026-03-02 08:00", "–")]


def test_first_steps_say_what_is_missing(cast: Cast, enter: Enter) -> None:
    response = enter(cast.operations_manager).get(reverse("admin:index"))
    steps = {block.key: block for block in response.context["blocks"]}["first-steps"]
    assert [step.is_done for step in steps.context["steps"]] == [False, False, False]
    text = response.content.decode()
    for command in ("import customers customers.csv", "apply definitions.yaml", "recompute --wait"):
        assert command in text
    assert reverse("admin:segmentation_factbatch_upload") in text


def test_first_steps_are_gone_once_walked(cast: Cast, shop: Shop, enter: Enter) -> None:
    assert "first-steps" not in _blocks(enter, cast.operations_manager)
