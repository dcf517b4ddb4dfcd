"""A hidden segment does not exist for others: its own pages, questions, filters, forms, the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import get_resolver, reverse

from segmentation.models import SCOPES, ManualMember, SegmentResult
from segmentation.services.api_keys import create_api_key
from tests.fixtures.cast import Cast
from tests.fixtures.sample import HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_LABEL_ZH, HIDDEN_SIZE, Shop
from tests.fixtures.world import CLUB, World

SECRETS = (
    HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_LABEL_ZH, f"{HIDDEN_SIZE:,}", str(HIDDEN_SIZE),
    "Orchid allergy",
)  # fmt: skip

Enter = Callable[..., Client]


def test_the_hidden_segments_own_pages_are_not_found(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.analyst)
    result = SegmentResult.objects.get(segment=shop.hidden, run=shop.run)
    row = ManualMember.objects.get(segment=shop.hidden)
    for name, key in (("segment", shop.hidden.pk), ("segmentresult", result.pk),
                      ("manualmember", row.pk)):  # fmt: skip
        for view in ("change", "history"):
            response = client.get(reverse(f"admin:segmentation_{name}_{view}", args=[key]))
            assert response.status_code == 404, (name, view)


@pytest.mark.parametrize(
    "query",
    [
        "run/?error__contains=whisper",
        "run/?log__contains=whisper",
        "run/?segment_results__segment__key=whisper_orchid",
        "run/?segment_results__size=7654321",
        "customer/?objection__isnull=False",
        "segment/?document__visibility=hidden",
    ],
)
def test_a_query_string_cannot_probe(cast: Cast, shop: Shop, enter: Enter, query: str) -> None:
    """Lookups that no filter declares are refused, so no row's presence answers a guess."""
    response = enter(cast.analyst).get(f"/admin/segmentation/{query}")
    assert response.status_code == 400


def test_filters_offer_no_hidden_segment(cast: Cast, shop: Shop, enter: Enter) -> None:
    """By its number, too, the filter selects nothing of a hidden segment."""
    address = reverse("admin:segmentation_segmentresult_changelist")
    response = enter(cast.analyst).get(f"{address}?segment={shop.hidden.pk}")
    assert response.status_code == 200
    assert list(response.context["cl"].result_list) == []


def test_a_hidden_segment_takes_no_manual_member_from_others(
    cast: Cast, shop: Shop, enter: Enter
) -> None:

    cast.analyst.user_permissions.add(Permission.objects.get(codename="add_manualmember"))
    before = ManualMember.objects.count()
    response = enter(cast.analyst).post(
        reverse("admin:segmentation_manualmember_add"),
        {"segment": shop.hidden.pk, "customer": shop.customers[2].pk, "kind": "include",
         "reason": "guessing"},
    )  # fmt: skip
    assert response.status_code == 200
    assert "segment" in response.context["adminform"].form.errors
    assert ManualMember.objects.count() == before


def _api_addresses(customer: str) -> list[str]:
    """Every address below /api/ that answers a GET, with a customer's id where one is asked for."""
    found = []
    for pattern, route in _routes(get_resolver().url_patterns):
        callback = pattern.callback
        view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
        if route.startswith("api/") and hasattr(view, "get"):
            found.append("/" + re.sub(r"<[^>]+>", customer, route))
    return found


def _routes(patterns: list[Any], before: str = "") -> Iterator[tuple[Any, str]]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _routes(pattern.url_patterns, route)
        else:
            yield pattern, route


@pytest.mark.django_db(transaction=True)
def test_no_api_route_shows_a_hidden_segment_to_other_keys(
    settings: Any, tmp_path: Path, client: Client
) -> None:
    """A real run with a hidden segment; a key with every scope but the one for hidden ones."""
    settings.VAR_DIR = tmp_path
    hidden = {
        "key": HIDDEN_KEY,
        "label": {"en": HIDDEN_LABEL_EN, "zh-hans": HIDDEN_LABEL_ZH},
        "purpose": "service",
        "visibility": "hidden",
        "rule": {"metric": "spend", "cmp": "gte", "value": "100"},
    }
    world = World()
    world.apply({**CLUB, "segments": [*CLUB["segments"], hidden]})
    world.order("anna", "2026-01-10T09:00:00", "150.00")
    assert world.members(world.run("2026-01-15"), HIDDEN_KEY) == {"anna"}  # the control
    scopes = [scope for scope in SCOPES if scope != "segments:read_hidden"]
    key = create_api_key("checkout", scopes=scopes).key
    found = {}
    for address in (*_api_addresses("anna"), "/metrics", "/healthz", "/readyz"):
        for language in ("en", "zh-hans"):
            headers = {"authorization": f"Bearer {key}", "accept-language": language}
            response = client.get(address, headers=headers)
            found[address] = response.status_code
            text = response.content.decode()
            assert [secret for secret in SECRETS if secret in text] == [], address
    assert found["/api/v1/customers/anna/memberships"] == 200
    assert found["/metrics"] == 200
    assert set(found.values()) <= {200, 401, 403, 404, 503}, found
