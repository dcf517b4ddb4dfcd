"""The leak tests: nothing hidden without the right, nothing of other stores, no clear contact data.

Every page that the resolver knows is walked by every role in both languages; what a role may not
know must be in no answer, whatever its status.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from segmentation.models import Segment
from tests.fixtures.cast import Cast
from tests.fixtures.guarded import (
    CONTACTS,
    DRAFT_KEY,
    HIDDEN,
    LIST_KEY,
    OTHERS,
    Guarded,
    make_guarded,
)
from tests.fixtures.sample import HIDDEN_KEY

from .pages import addresses, addresses_of, routes

# They find what is hidden or of another store; no secret themselves, so that an echo is none.
WORDS = ("whisper", "secret_l", "ZEBRA", "Orchid w", "murmur", "Zebra Q", "4321")
SUBJECTS = (
    f"segment:{HIDDEN_KEY}", f"list:{LIST_KEY}", f"segment:{DRAFT_KEY}", "segment:app_users",
    "list:vip_list", "tier:gold", "layer:value_layer:high", "tag:city_tier:first",
)  # fmt: skip
SEES_HIDDEN = frozenset({"operations_manager", "reviewer", "auditor"})
# How many pages answer at least: a walk that is refused everywhere proves nothing.
ROLES = {
    "operations_manager": 250, "reviewer": 150, "analyst": 200, "support_agent": 60,
    "store_manager": 60, "auditor": 200, "integration": 120, "stranger": 3,
}  # fmt: skip

BUILDER = (
    "builder_draft", "builder_portrait", "builder_preview", "builder_publish", "builder_retire",
    "builder_discard", "card_star", "card_file",
)  # fmt: skip
Enter = Callable[..., Client]


def _secrets(person: str) -> tuple[str, ...]:
    """What this person must not find anywhere."""
    hidden = () if person in SEES_HIDDEN else HIDDEN
    others = OTHERS if person in ("store_manager", "stranger") else ()
    return (*CONTACTS, *hidden, *others)


def _log_click_on_hidden(shop: Guarded, user: User) -> None:
    LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(Segment),
        object_id=str(shop.hidden.pk),
        object_repr=HIDDEN_KEY,
        action_flag=ADDITION,
        change_message="[]",
    )


def _text(response: Any, address: str) -> str:
    """The answer without what it repeats of the question."""
    content = b"".join(response.streaming_content) if response.streaming else response.content
    text = content.decode(errors="replace") + str(response.headers)
    query = address.partition("?")[2]
    for asked in re.findall(r"[^=&]+", query):
        for part in (asked, *asked.split("%3A")):
            if len(part) > 3:
                text = text.replace(part, "…")
    return text


def _walk(
    client: Client, secrets: tuple[str, ...], *, asking: bool = True
) -> tuple[dict[str, set[str]], int]:
    """Which secret shows where, and how many pages answered 200. `asking`: with searches too."""
    found: dict[str, set[str]] = {}
    answered = 0
    words, subjects = (WORDS, SUBJECTS) if asking else ((), ())
    for _name, address in addresses(words=words, subjects=subjects):
        response = client.get(address)
        assert response.status_code in (200, 204, 302, 400, 401, 403, 404, 405, 410), (
            address, response.status_code,
        )  # fmt: skip
        answered += response.status_code == 200
        shown = {secret for secret in secrets if secret in _text(response, address)}
        if shown:
            found[address] = shown
    return found, answered


@pytest.fixture
def guarded(transactional_db: None, settings: Any, tmp_path: Path, cast: Cast) -> Guarded:
    """The shop with secrets, with real results to look at."""
    settings.VAR_DIR = tmp_path
    return make_guarded(cast)


def test_every_address_of_the_admin_can_be_filled(guarded: Guarded) -> None:
    """A new page must be walked: say in pages.ARGUMENTS what its address needs."""
    walked = {route.name for route in routes() if addresses_of(route)}
    assert len(walked) > 150


def test_the_walk_has_the_builder_with_every_definition_and_draft(guarded: Guarded) -> None:
    walked = {route.name: addresses_of(route) for route in routes()}
    for name in BUILDER:
        for key in (HIDDEN_KEY, LIST_KEY, DRAFT_KEY):
            assert any(address.endswith(f"/{key}/") for address in walked[name]), (name, key)
    for name in ("builder_start", "builder_templates", "builder_template", "builder_done",
                 "builder_preview_job", "segmentation_draft_changelist",
                 "segmentation_draft_change"):  # fmt: skip
        assert walked[name], name


@pytest.mark.parametrize("person", sorted(set(ROLES) - SEES_HIDDEN))
def test_a_definition_that_is_sent_is_told_nothing_hidden(
    guarded: Guarded, cast: Cast, enter: Enter, person: str
) -> None:
    """The builder's forms: what names something hidden is answered as what names nothing."""
    client, secrets = enter(getattr(cast, person)), _secrets(person)
    rules = (f"{{segment: {HIDDEN_KEY}, cmp: member}}", f"{{list: {LIST_KEY}, cmp: member}}")
    # Everybody but the analyst is refused before anything is read; one form shows that.
    acts = ("", "view:form", "save", "document") if person == "analyst" else ("save",)
    found = {}
    for route in routes():
        if route.name not in (*BUILDER, "builder_start"):
            continue
        for address in addresses_of(route):
            for rule, act in product(rules, acts):
                text = f"key: my_own\npurpose: service\nvisibility: internal\nrule: {rule}\n"
                response = client.post(address, {"view": "document", "text": text, "act": act})
                assert response.status_code < 500, (address, act)
                answer = _text(response, address)
                for echo in (
                    *WORDS,
                    HIDDEN_KEY,
                    LIST_KEY,
                    DRAFT_KEY,
                ):  # asked for, or in the address
                    answer = answer.replace(echo, "…")
                shown = {secret for secret in secrets if secret in answer}
                if shown:
                    found[address, act] = shown
    assert found == {}


@pytest.mark.parametrize("person", ROLES)
def test_no_page_shows_what_the_role_may_not_know(
    guarded: Guarded, cast: Cast, enter: Enter, person: str
) -> None:
    """In English every page and every question to it; in Chinese every page."""
    user = getattr(cast, person)
    _log_click_on_hidden(guarded, user)
    found, answered = _walk(enter(user), _secrets(person))
    assert found == {}
    assert answered >= ROLES[person]
    found, _answered = _walk(enter(user, language="zh-hans"), _secrets(person), asking=False)
    assert found == {}


def test_control_the_operations_manager_sees_it_all(
    guarded: Guarded, cast: Cast, enter: Enter
) -> None:
    """The walk reaches what would leak: with the rights every secret but contacts shows."""
    _log_click_on_hidden(guarded, cast.operations_manager)
    ungrouped = {text for text in (*HIDDEN, *OTHERS) if text.isdecimal()}
    secrets = tuple({*HIDDEN, *OTHERS} - ungrouped)
    found, _answered = _walk(enter(cast.operations_manager), secrets)
    assert set().union(*found.values()) == set(secrets)
    for part in (
        "/segmentation/segment/", "/segmentation/draft/", "/segmentation/customerlist/",
        "/segmentation/job/", "/pghistory/context/", "/segmentation/customer/", "/search/",
        "/autocomplete/", "/export/",
    ):  # fmt: skip
        assert any(part in address for address in found), part
