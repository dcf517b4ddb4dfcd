"""Held runs and the promotion calendar on the desk."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from config import clock
from segmentation.models import PromotionEvent, Run
from tests.fixtures.cast import Cast
from tests.fixtures.held import hold_run, make_promotions
from tests.fixtures.sample import HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_SIZE, Shop

Enter = Callable[..., Client]
CALENDAR = "admin:segmentation_promotionevent_changelist"


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def page(run: Run, act: str = "change") -> str:
    return reverse(f"admin:segmentation_run_{act}", args=[run.pk])


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return re.sub(r"\s+", " ", response.content.decode())


def test_the_page_says_why_and_offers_the_decision_to_who_may(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    held = hold_run(shop)
    for person, decides in ((cast.operations_manager, True), (cast.reviewer, False)):
        text = text_of(enter(person), page(held))
        assert "This run is held" in text
        assert "Orders on 2026-03-02" in text
        assert "359 to 665" in text
        assert HIDDEN_LABEL_EN in text
        assert ('id="release"' in text) == decides
    text = text_of(enter(cast.analyst), page(held))
    assert "359 to 665" in text
    assert HIDDEN_LABEL_EN not in text
    assert f"{HIDDEN_SIZE:,}" not in text
    text = text_of(enter(cast.operations_manager, language="zh-hans"), page(held))
    assert "该批次待放行" in text
    assert "上一个已发布的批次，增减不超过 30%" in text


def test_a_dry_run_says_that_it_would_be_held(cast: Cast, shop: Shop, enter: Enter) -> None:
    held = hold_run(shop)
    Run.objects.filter(pk=held.pk).update(status=Run.Status.DRY_RUN, is_dry_run=True)
    client = enter(cast.operations_manager)
    text = text_of(client, page(held))
    for words in ("This run would be held", "Why it would be held", "359 to 665"):
        assert words in text
    for words in ("This run is held", "This run was held", 'id="release"'):
        assert words not in text
    assert client.get(page(held, "release")).status_code == 404
    assert client.post(page(held, "release"), {"reason": "r"}).status_code == 404
    assert HIDDEN_LABEL_EN not in text_of(enter(cast.analyst), page(held))
    chinese = text_of(enter(cast.operations_manager, language="zh-hans"), page(held))
    assert "该批次会被拦截" in chinese


def test_reasons_about_what_is_hidden_are_not_even_counted(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    held = hold_run(shop, hidden_only=True)
    client = enter(cast.analyst)
    for address in (page(held), reverse("admin:index")):
        text = text_of(client, address)
        assert HIDDEN_KEY not in text
        assert HIDDEN_LABEL_EN not in text
        assert "9 instead of" not in text
    assert "Your role does not show the reasons." in text_of(client, page(held))
    assert "Somebody must decide." in text_of(client, reverse("admin:index"))


def test_current_results_are_labelled_while_a_run_is_held(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    places = [
        reverse("admin:index"),
        reverse("admin:membership_membership_changelist"),
    ]
    for address in places:
        assert "held-note" not in text_of(client, address)
    held = hold_run(shop)
    for address in places:
        text = text_of(client, address)
        assert "held-note" in text
        assert f'href="{page(held)}"' in text
    segment = reverse("admin:segmentation_segment_change", args=[shop.segment.pk])
    text = text_of(client, segment)
    assert 'id="run-trouble"' in text
    assert "Orders on 2026-03-02: 7 instead of about 40" in text
    results = text_of(client, reverse("admin:segmentation_segmentresult_changelist"))
    assert page(held) not in results


@pytest.mark.parametrize("act", ["release", "reject"])
def test_deciding_needs_the_right_and_a_reason(
    cast: Cast, shop: Shop, enter: Enter, act: str
) -> None:
    held = hold_run(shop)
    for person in (cast.reviewer, cast.analyst, cast.auditor, cast.integration, cast.stranger):
        for method in ("get", "post"):
            response = getattr(enter(person), method)(page(held, act), {"reason": "r"})
            assert response.status_code == 403
    client = enter(cast.operations_manager)
    assert "359 to 665" in text_of(client, page(held, act))
    response = client.post(page(held, act), {"reason": " "})
    assert response.status_code == 200
    held.refresh_from_db()
    assert (held.status, held.decision) == ("held", "")
    for _click in range(2):
        response = client.post(page(held, act), {"reason": "looked at it"})
        assert (response.status_code, response["Location"]) == (302, page(held))
    held.refresh_from_db()
    status, decision = {"release": ("published", "released"), "reject": ("failed", "rejected")}[act]
    assert (held.status, held.decision, held.decided_by) == (status, decision, "operations_manager")
    text = text_of(client, page(held))
    assert "This run was held" in text
    assert "looked at it" in text
    other = {"release": "reject", "reject": "release"}[act]
    refused = client.post(page(held, other), {"reason": "no"})
    assert refused.status_code == 409
    assert "already." in refused.content.decode()
    assert client.get(page(held, other)).status_code == 302


def sent(**more: Any) -> dict[str, Any]:
    return {
        "key": "double11_2026", "label_en": "Double 11", "label_zh_hans": "双十一",
        "kind": "double11", "timezone": "Asia/Shanghai", "starts_on": "2026-11-01",
        "ends_on": "2026-11-11", "after_days": "7", "freeze_from": "2026-10-28",
        "freeze_until": "2026-11-12", "note": "", **more,
    }  # fmt: skip


def add(client: Client, **more: Any) -> Any:
    return client.post(reverse("admin:segmentation_promotionevent_add"), sent(**more))


def test_a_promotion_is_entered_changed_and_removed(cast: Cast, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    assert add(client).status_code == 302
    row = PromotionEvent.objects.get()
    assert (row.ends_on, row.after_days, row.freeze_from) == (
        date(2026, 11, 11), 7, date(2026, 10, 28),
    )  # fmt: skip
    assert "2026-11-01 to 2026-11-11" in text_of(client, reverse(CALENDAR))
    address = reverse("admin:segmentation_promotionevent_change", args=[row.pk])
    seen = re.findall(r'name="seen" value="(\w+)"', client.get(address).content.decode())
    changed = sent(seen=seen[0], note="second draft")
    assert client.post(address, changed).status_code == 302
    overtaken = client.post(address, sent(seen=seen[0], note="mine"))
    assert overtaken.status_code == 200
    assert "nothing was overwritten" in overtaken.content.decode()
    row.refresh_from_db()
    assert (row.key, row.note) == ("double11_2026", "second draft")
    delete = reverse("admin:segmentation_promotionevent_delete", args=[row.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not PromotionEvent.objects.exists()
    history = reverse("admin:pghistory_context_changelist")
    assert "Double 11" in text_of(client, history) or "romotion" in text_of(client, history)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"key": "Double 11"}, "lower case letters"),
        ({"kind": "11"}, "lower case letters"),
        ({"timezone": "Asia/Nowhere"}, "There is no such time zone"),
        ({"ends_on": "2026-10-31"}, "The last day lies before the first."),
        ({"freeze_until": ""}, "A freeze needs its first and its last day."),
        ({"freeze_until": "2026-10-01"}, "The last day lies before the first."),
        ({"after_days": "367"}, "At most 366 days."),
        ({"starts_on": "0001-01-01"}, "Write a day of the years"),
        ({"kind": "winter_0", "starts_on": "2025-12-12", "ends_on": "2025-12-12"}, "Winter sale"),
    ],
)
def test_what_can_not_be_is_refused(
    cast: Cast, enter: Enter, more: dict[str, str], words: str
) -> None:
    make_promotions()
    response = add(enter(cast.operations_manager), **more)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert PromotionEvent.objects.count() == 1


def test_the_calendar_is_read_by_some_and_kept_by_few(cast: Cast, enter: Enter) -> None:
    row = make_promotions()
    address = reverse("admin:segmentation_promotionevent_change", args=[row.pk])
    for person in (cast.reviewer, cast.analyst, cast.auditor):
        client = enter(person)
        assert "Winter sale" in text_of(client, reverse(CALENDAR))
        assert 'name="label_en"' not in text_of(client, address)
        assert client.post(address, sent()).status_code == 403
        assert add(client).status_code == 403
    for stranger in (cast.stranger, cast.support_agent):
        assert enter(stranger).get(reverse(CALENDAR)).status_code == 403


def test_the_publish_page_says_that_publishing_is_frozen(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    address = reverse("admin:builder_retire", args=["segment", shop.hidden.key])
    manager = User.objects.get(pk=cast.operations_manager.pk)
    part = f"{address}?part=change"
    assert 'id="freeze"' not in text_of(enter(manager), part)
    today = clock.now().date()
    day = timedelta(days=1)
    make_promotions(freeze_from=today - day, freeze_until=today + day)
    text = text_of(enter(manager), part)
    assert "Publishing is frozen for “Winter sale”" in text
    assert 'name="override_freeze"' in text
