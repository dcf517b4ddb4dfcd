"""Lists of segments, metrics, tags and layerings: stars, filters, search, empty ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.clock import real_now
from segmentation.models import (
    Card,
    Layering,
    Metric,
    Objection,
    Segment,
    TagGroup,
)
from segmentation.services.cards import file_definition, note_use, toggle_star
from tests.fixtures.cast import Cast
from tests.fixtures.sample import HIDDEN_KEY, Shop

Enter = Callable[..., Client]


def listing(kind: str, query: str = "") -> str:
    return reverse(f"admin:segmentation_{kind}_changelist") + query


def page(row: Any, part: str = "change") -> str:
    return reverse(f"admin:segmentation_{row._meta.model_name}_{part}", args=[row.pk])


def keys(client: Client, address: str) -> list[str]:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return [row.key for row in response.context["cl"].result_list]


def test_stars_come_first_and_are_the_readers_own(cast: Cast, shop: Shop, enter: Enter) -> None:
    toggle_star("segment", HIDDEN_KEY, user=cast.operations_manager)
    assert keys(enter(cast.operations_manager), listing("segment")) == [HIDDEN_KEY, "app_users"]
    assert keys(enter(cast.auditor), listing("segment")) == ["app_users", HIDDEN_KEY]
    starred = listing("segment", "?only=starred")
    assert keys(enter(cast.operations_manager), starred) == [HIDDEN_KEY]
    assert keys(enter(cast.auditor), starred) == []


def test_a_search_finds_key_and_both_names(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    for term in ("whisper", "orchid whisp", "兰花"):
        assert keys(client, listing("segment", f"?q={term}")) == [HIDDEN_KEY], term
        assert keys(enter(cast.analyst), listing("segment", f"?q={term}")) == [], term


def test_restricted_segments_can_be_shown_alone_by_who_may_see_them(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    assert keys(client, listing("segment", "?visibility=hidden")) == [HIDDEN_KEY]
    assert keys(client, listing("segment", "?visibility=internal")) == ["app_users"]
    others = enter(cast.analyst)
    assert "visibility=" not in others.get(listing("segment")).content.decode()
    assert keys(others, listing("segment", "?visibility=hidden")) == ["app_users"]  # no filter


def test_filters_by_folder_and_owner_offer_nothing_of_hidden_segments(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    for key, folder in (("app_users", "Apps"), (HIDDEN_KEY, "Secret garden")):
        file_definition(
            "segment", key, folder=folder, owner=cast.auditor, actor="tester", reason="filed"
        )
    manager, analyst = enter(cast.operations_manager), enter(cast.analyst)
    assert keys(manager, listing("segment", "?folder=Secret+garden")) == [HIDDEN_KEY]
    assert keys(manager, listing("segment", f"?owner={cast.auditor.pk}")) == [
        "app_users", HIDDEN_KEY,
    ]  # fmt: skip
    assert keys(manager, listing("segment", "?owner=-")) == []
    assert keys(analyst, listing("segment", f"?owner={cast.auditor.pk}")) == ["app_users"]
    # A folder that is not offered filters nothing: the answer is the same as for a folder nobody
    # ever made.
    known = keys(analyst, listing("segment", "?folder=Secret+garden"))
    assert known == keys(analyst, listing("segment", "?folder=nonsense"))
    text = analyst.get(listing("segment")).content.decode()
    assert "Apps" in text
    assert "Secret garden" not in text


def test_unused_are_those_that_nobody_opened_and_nothing_needs(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    address = listing("segment", "?only=unused")
    assert keys(client, address) == [HIDDEN_KEY]  # app_users is named by it
    note_use("segment", HIDDEN_KEY, now=real_now() - timedelta(days=89))
    assert keys(client, address) == []
    assert keys(enter(cast.analyst), address) == []


def test_retired_definitions_show_on_demand(cast: Cast, shop: Shop, enter: Enter) -> None:
    Metric.objects.update(retired_at=real_now())
    client = enter(cast.analyst)
    assert keys(client, listing("metric")) == []
    assert keys(client, listing("metric", "?state=retired")) == ["net_spend_365d"]
    response = client.get(page(Metric.objects.get()))
    assert "Retired" in response.content.decode()
    assert str(response.context["buttons"]) == ""


def test_an_empty_list_says_what_to_do(cast: Cast, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    for kind in ("segment", "metric", "taggroup", "layering", "customerlist"):
        text = client.get(listing(kind)).content.decode()
        assert "Nothing here yet" in text, kind
        assert str(client.get(listing(kind)).context["start_button"]), kind
    assert str(enter(cast.auditor).get(listing("segment")).context["start_button"]) == ""


@pytest.mark.parametrize("kind", ["segment", "metric", "taggroup", "layering"])
def test_fifty_definitions_cost_as_many_queries_as_one(
    cast: Cast, shop: Shop, enter: Enter, kind: str
) -> None:
    Objection.objects.all().delete()  # else bitmaps of hidden segments on the page are read, too
    client = enter(cast.operations_manager)
    models: dict[str, Any] = {
        "segment": Segment, "metric": Metric, "taggroup": TagGroup, "layering": Layering,
    }  # fmt: skip
    model = models[kind]
    first = model.objects.order_by("pk")[0]
    client.get(listing(kind))
    with CaptureQueriesContext(connection) as before:
        client.get(listing(kind))
    for number in range(50):
        first.pk, first.key = None, f"copy_{number}"
        first._state.adding = True
        first.save()
        Card.objects.create(kind=first._meta.model_name, key=first.key, folder="Copies")
    with CaptureQueriesContext(connection) as after:
        response = client.get(listing(kind))
    assert len(response.context["cl"].result_list) == 50
    assert len(after) == len(before)
