"""The leak test: no page of the admin shows a hidden segment to somebody without the right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse

from segmentation.models import ManualMember, Segment, SegmentResult
from tests.fixtures.cast import Cast
from tests.fixtures.sample import HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_LABEL_ZH, HIDDEN_SIZE, Shop

from .pages import addresses

SECRETS = (
    HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_LABEL_ZH, f"{HIDDEN_SIZE:,}", str(HIDDEN_SIZE),
    "Orchid allergy",
)  # fmt: skip
WORDS = ("whisper",)  # finds the segment; no secret itself, so that an echo is none

Enter = Callable[..., Client]


def _log_click_on_hidden(shop: Shop, user: User) -> None:
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(Segment),
        object_id=str(shop.hidden.pk),
        object_repr=HIDDEN_KEY,
        action_flag=ADDITION,
        change_message="[]",
    )


def _seen(client: Client) -> tuple[dict[str, set[str]], int]:
    """Which secret shows where, and how many pages answered 200."""
    found: dict[str, set[str]] = {}
    answered = 0
    for address in addresses(words=WORDS):
        response = client.get(address)
        assert response.status_code in (200, 302, 403, 404), (address, response.status_code)
        answered += response.status_code == 200
        text = response.content.decode()
        shown = {secret for secret in SECRETS if secret in text}
        if shown:
            found[address] = shown
    return found, answered


@pytest.mark.parametrize(
    ("person", "language", "least"),
    [("analyst", "en", 90), ("analyst", "zh-hans", 90), ("support_agent", "en", 15),
     ("stranger", "en", 1)],
)  # fmt: skip
def test_nothing_hidden_shows_without_the_right(
    cast: Cast, shop: Shop, enter: Enter, person: str, language: str, least: int
) -> None:
    user = getattr(cast, person)
    _log_click_on_hidden(shop, user)
    found, answered = _seen(enter(user, language=language))
    assert found == {}
    assert answered >= least


def test_control_the_operations_manager_sees_it_all(cast: Cast, shop: Shop, enter: Enter) -> None:
    """The walk reaches the pages that would leak: with the right every secret shows."""
    _log_click_on_hidden(shop, cast.operations_manager)
    found, _answered = _seen(enter(cast.operations_manager))
    assert set().union(*found.values()) >= set(SECRETS) - {str(HIDDEN_SIZE)}  # shown grouped
    for model in ("segment", "manualmember", "segmentresult", "definitionversion", "segmentevent"):
        assert any(f"/segmentation/{model}/" in address for address in found), model


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
    from django.contrib.auth.models import Permission

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
