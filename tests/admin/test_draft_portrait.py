"""The portrait of a draft: the same figures as after publishing, before anything is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pyroaring import BitMap

from config.clock import real_now
from membership.services.drafts import new_work, save_draft, work_on
from segmentation.domain.dependencies import Ref
from segmentation.models import (
    AccessRecord,
    Customer,
    Draft,
    Objection,
    Run,
    Segment,
    SegmentResult,
)
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.desk_world import HIDDEN, make_desk_world
from tests.fixtures.world import CLUB, World

Enter = Callable[..., Client]


@pytest.fixture
def desk(transactional_db: None, settings: Any, tmp_path: Path) -> tuple[World, Cast]:
    settings.VAR_DIR = tmp_path
    return make_desk_world(), make_cast()


def draft(user: User, key: str, **more: Any) -> str:
    """Save a draft; the address of its portrait."""
    document = {**CLUB["segments"][0], "key": key, **more}
    new_work(Ref("segment", key), document, viewer=user, actor=user.get_username())
    return reverse("admin:builder_portrait", args=["segment", key])


def figures(response: Any) -> dict[str, Any]:
    found = response.context["portrait"]
    return {"size": found.size, "tags": found.tags, "layers": found.layerings, "m": found.metrics}


def test_a_draft_is_portrayed_as_it_is_after_publishing(
    desk: tuple[World, Cast], enter: Enter
) -> None:
    _world, cast = desk
    runs = Run.objects.count()
    client = enter(cast.operations_manager)
    address = draft(cast.operations_manager, "fresh")
    shell = client.get(address)
    assert 'hx-get="?part=figures"' in shell.content.decode()
    assert "portrait" not in shell.context
    before = figures(client.get(address, {"part": "figures"}))
    assert not Segment.objects.filter(key="fresh").exists()
    assert Run.objects.count() == runs
    published = figures(client.get(reverse("portrait"), {"subject": "segment:spenders"}))
    assert before == published  # the same rule under another key
    assert before["size"] > 0
    assert AccessRecord.objects.count() == 0
    own = draft(cast.analyst, "own")
    answer = enter(cast.analyst).get(own, {"part": "figures"})
    assert figures(answer) == before
    assert not any(word in answer.content.decode() for word in HIDDEN)


def test_saving_leads_to_the_portrait(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    client = enter(cast.operations_manager)
    address = draft(cast.operations_manager, "fresh")
    page = reverse("admin:builder_draft", args=["segment", "fresh"])
    assert 'value="save:portrait"' in client.get(page).content.decode()
    text = json.dumps(
        {
            **CLUB["segments"][0],
            "key": "fresh",
            "rule": {"metric": "orders", "cmp": "gte", "value": 1},
        }
    )
    sent = {"view": "document", "text": text, "act": "save:portrait"}
    stamp = client.get(page).context["stamp"]
    answer = client.post(page, {**sent, "stamp": stamp})
    assert (answer.status_code, answer["Location"]) == (302, address)
    assert Draft.objects.get().document["rule"]["metric"] == "orders"


def test_a_hidden_draft_is_suppressed_and_each_look_is_written_down(
    desk: tuple[World, Cast], enter: Enter
) -> None:
    _world, cast = desk
    address = draft(cast.operations_manager, "quiet", visibility="hidden")
    client = enter(cast.operations_manager)
    client.get(address)
    (look,) = AccessRecord.objects.all()
    assert (look.kind, look.subject_key) == ("view_hidden", "quiet")
    assert look.details == {"page": "portrait"}
    assert client.get(address, {"part": "figures"}).context["portrait"].is_hidden
    assert AccessRecord.objects.count() == 1  # a part of the page that was looked at
    cache.clear()
    client.get(address, {"part": "figures"})
    assert AccessRecord.objects.count() == 2  # asked for alone
    for person in (cast.analyst, cast.support_agent, cast.store_manager):
        for query in ({}, {"part": "figures"}):
            assert enter(person).get(address, query).status_code in (403, 404)
    nowhere = reverse("admin:builder_portrait", args=["segment", "nowhere"])
    assert enter(cast.analyst).get(address).status_code == 404
    assert enter(cast.analyst).get(nowhere).status_code == 404
    assert enter(cast.analyst).post(draft(cast.analyst, "own")).status_code == 404


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rule": {"metric": "nothing", "cmp": "gte", "value": 1}}, "The draft has problems:"),
        ({"rule": {"metric": "fresh_metric", "cmp": "gte", "value": 1}}, "first run after"),
    ],
)
def test_why_there_is_no_portrait(
    desk: tuple[World, Cast], enter: Enter, more: dict[str, Any], words: str
) -> None:
    _world, cast = desk
    user = cast.operations_manager
    document = {**CLUB["metrics"][1], "key": "fresh_metric", "window": {"days": 9}}
    new_work(Ref("metric", "fresh_metric"), document, viewer=user, actor=user.get_username())
    answer = enter(user).get(draft(user, "fresh", **more), {"part": "figures"})
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert "portrait" not in answer.context


def test_who_objects_is_counted_as_after_publishing(desk: tuple[World, Cast], enter: Enter) -> None:
    """A hidden segment that becomes internal has those who object; its cells stay suppressed."""
    _world, cast = desk
    user = cast.operations_manager
    client = enter(user)
    segment = Segment.objects.get(key="spenders")
    members = SegmentResult.objects.filter(segment=segment).order_by("-run")[0].members
    somebody = Customer.objects.get(ordinal=BitMap.deserialize(bytes(members))[0])
    Objection.objects.create(customer=somebody, objected_at=real_now())
    sizes = {}
    for was_hidden in (False, True):
        Segment.objects.filter(pk=segment.pk).update(is_hidden=was_hidden)
        document = {**segment.document, "visibility": "hidden" if was_hidden else "internal"}
        Segment.objects.filter(pk=segment.pk).update(document=document)
        for visibility in ("internal", "hidden"):
            Draft.objects.all().delete()
            work = work_on(Ref("segment", "spenders"), viewer=user)
            save_draft(
                work, document={**document, "visibility": visibility, "purpose": "research"},
                stamp=work.stamp, viewer=user, actor=user.username,
            )  # fmt: skip
            address = reverse("admin:builder_portrait", args=["segment", "spenders"])
            found = client.get(address, {"part": "figures"}).context["portrait"]
            sizes[was_hidden, visibility] = (found.size, found.is_hidden)
    whole = len(BitMap.deserialize(bytes(members)))
    assert sizes == {
        (False, "internal"): (whole, False),
        (False, "hidden"): (whole - 1, True),
        (True, "internal"): (whole, True),
        (True, "hidden"): (whole - 1, True),
    }
