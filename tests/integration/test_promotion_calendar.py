"""The promotion calendar: what it compares with, and that nothing is published inside a freeze."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import translation

from config import clock
from config.clock import real_now
from membership.services.drafts import new_work
from membership.services.publishing import carry_out, offer_publication
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import TierwiseError
from segmentation.models import DefinitionVersion, Draft, Job, PromotionEvent, Segment
from segmentation.services.promotion_calendar import freeze_at
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.daily import PER_DAY, DailyShop
from tests.fixtures.world import CLUB, World

DAY = timedelta(days=1)


def event(key: str, first: str, last: str, **more: Any) -> PromotionEvent:
    values = {
        "kind": "sale", "label_en": key, "label_zh_hans": key, "timezone": "Asia/Shanghai",
        "starts_on": date.fromisoformat(first), "ends_on": date.fromisoformat(last), **more,
    }  # fmt: skip
    return PromotionEvent.objects.create(key=key, **values)


@pytest.fixture
def shop(settings: Any, tmp_path: Path) -> DailyShop:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    return DailyShop()


@pytest.mark.django_db(transaction=True)
def test_a_promotion_is_compared_with_the_last_of_its_kind(shop: DailyShop) -> None:
    """B13: three times the usual orders hold a run, except where the last sale had them too."""
    shop.open(until="2026-03-19")
    shop.serve([date(2026, 1, 28)], per_day=2 * PER_DAY)  # the first sale: three times the usual
    shop.mornings("2026-03-13", 7)
    shop.serve([date(2026, 3, 19)], per_day=3 * PER_DAY)
    held = shop.run("2026-03-20")
    assert [(row["check"], row["after"], row["high"]) for row in held.held_reasons] == [
        ("volume", 120, 100)
    ]
    event("sale_1", "2026-01-28", "2026-01-28")
    event("sale_2", "2026-03-19", "2026-03-19")
    compared = shop.run("2026-03-20")
    assert (compared.status, compared.held_reasons) == ("published", [])


@pytest.mark.django_db(transaction=True)
def test_in_the_first_of_its_kind_a_rise_passes_and_a_fall_holds(shop: DailyShop) -> None:
    """B14."""
    shop.open(until="2026-03-11")
    shop.mornings("2026-03-11", 7)
    event("sale_1", "2026-03-17", "2026-03-18")
    shop.serve([date(2026, 3, 17)], per_day=200)
    assert shop.run("2026-03-18").status == "published"
    held = shop.run("2026-03-19")  # nothing came on 03-18
    assert [(row["check"], row["after"], row["low"]) for row in held.held_reasons] == [
        ("first_promotion", 0, 20)
    ]


@pytest.mark.django_db
def test_two_promotions_of_a_kind_share_no_day() -> None:
    first = event("a", "2026-11-01", "2026-11-11")
    event("b", "2026-11-12", "2026-11-12")
    event("c", "2026-11-05", "2026-11-20", kind="other")
    for start, end in (("2026-11-11", "2026-11-11"), ("2026-10-01", "2026-12-01")):
        with pytest.raises(IntegrityError), transaction.atomic():
            event("d", start, end)
    for values in (
        {"first": "2026-01-02", "last": "2026-01-01"},
        {"first": "2026-01-01", "last": "2026-01-01", "freeze_from": date(2026, 1, 1)},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            event("d", **values)
    first.note = "moved"
    first.save()
    kept = apps.get_model("segmentation", "PromotionEventEvent").objects.filter(key="a")
    assert list(kept.order_by("pgh_id").values_list("pgh_label", "note")) == [
        ("insert", ""), ("update", "moved"),
    ]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        ("2026-11-07T15:59:59", False),  # 23:59:59 of the day before in Shanghai
        ("2026-11-07T16:00:00", True),
        ("2026-11-12T15:59:59", True),
        ("2026-11-12T16:00:00", False),
    ],
)
def test_a_freeze_begins_and_ends_at_midnight_of_its_zone(now: str, frozen: bool) -> None:
    event("d11", "2026-11-11", "2026-11-11", freeze_from=date(2026, 11, 8),
          freeze_until=date(2026, 11, 12))  # fmt: skip
    found = freeze_at(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (found is not None) == frozen


@pytest.fixture
def frozen(db: None, settings: Any) -> Cast:
    World().apply(CLUB)
    today = clock.now().date()
    event("now", str(today), str(today), freeze_from=today - 2 * DAY, freeze_until=today + 2 * DAY)
    return make_cast()


def draft(cast: Cast) -> str:
    document = {"key": "fresh", "purpose": "service", "visibility": "internal",
                "rule": {"metric": "spend", "cmp": "gte", "value": "5"}}  # fmt: skip
    user = cast.operations_manager
    ref = new_work(Ref("segment", "fresh"), document, viewer=user, actor="operations_manager").ref
    basis = offer_publication(ref, viewer=user, now=real_now()).basis
    assert basis is not None
    return basis.token()


def publish(token: str, cast: Cast, *, override: str) -> Job:
    return carry_out(
        token, reason="asked for", key="k", user=cast.operations_manager, now=real_now(),
        project_now=clock.now(), override_freeze=override,
    )  # fmt: skip


def test_publishing_in_a_freeze_is_refused_and_can_be_overridden(frozen: Cast) -> None:
    token = draft(frozen)
    with pytest.raises(TierwiseError) as refused:
        publish(token, frozen, override="  ")
    assert refused.value.code == "frozen"
    assert "now" in refused.value.message
    PromotionEvent.objects.update(label_zh_hans="冬季大促")
    with translation.override("zh-hans"), pytest.raises(TierwiseError) as refused:
        publish(token, frozen, override="")
    assert "“冬季大促”" in refused.value.message
    assert Draft.objects.filter(key="fresh").exists()
    assert not Segment.objects.filter(key="fresh").exists()
    publish(token, frozen, override="the rule is dangerous")
    assert Segment.objects.filter(key="fresh").exists()
    events = apps.get_model("segmentation", "SegmentEvent").objects.filter(key="fresh")
    reason = events.get().pgh_context.metadata["reason"]
    assert reason == "asked for – although publishing is frozen for now: the rule is dangerous"
    assert Job.objects.get(kind="publish").parameters["reason"] == reason


def test_overriding_a_freeze_needs_the_right(frozen: Cast) -> None:
    token = draft(frozen)
    manager = frozen.operations_manager
    group = manager.groups.get()
    group.permissions.remove(group.permissions.get(codename="override_freeze"))
    again = replace(frozen, operations_manager=User.objects.get(pk=manager.pk))
    with pytest.raises(TierwiseError) as refused:
        publish(token, again, override="now!")
    assert refused.value.code == "forbidden"
    assert not Segment.objects.filter(key="fresh").exists()


def applied(path: Path, *more: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("apply", str(path), "--json", *more, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_apply_is_refused_unless_it_changes_nothing(frozen: Cast, tmp_path: Path) -> None:
    path = tmp_path / "more.json"
    metric = {**CLUB["metrics"][0], "key": "more_spend"}
    path.write_text(json.dumps({"metrics": [metric]}))
    versions = DefinitionVersion.objects.count()
    assert applied(path, "--dry-run")["created"] == ["metric:more_spend"]
    with pytest.raises(SystemExit):
        applied(path)
    assert DefinitionVersion.objects.count() == versions
    assert applied(path, "--override-freeze", "it was promised")["created"] == ["metric:more_spend"]
    version = DefinitionVersion.objects.get(key="more_spend")
    assert version.number == 1
    events = apps.get_model("segmentation", "MetricEvent").objects.get(key="more_spend")
    assert events.pgh_context.metadata["reason"].endswith("frozen for now: it was promised")
    assert applied(path)["unchanged"] == ["metric:more_spend"]
