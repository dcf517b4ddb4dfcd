"""Folders, owners, stars, last use, and what nobody needs any more."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pghistory
import pytest
from django.apps import apps
from django.contrib.auth.models import User

from segmentation.domain.errors import TierwiseError
from segmentation.models import Card, CustomerList, DefinitionVersion, LastUse
from segmentation.services.cards import (
    Filing,
    claim,
    file_definition,
    filing,
    filing_state,
    filings,
    folders,
    note_use,
    star_keys,
    toggle_star,
    unused_for,
)
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def cast() -> Cast:
    World().apply(CLUB)
    return make_cast()


def put(key: str, folder: str, cast: Cast) -> Card:
    return file_definition(
        "segment", key, folder=folder, owner=cast.analyst, actor="analyst", reason="Tidy"
    )


def test_filing_says_it_all_in_three_queries(cast: Cast, django_assert_num_queries: object) -> None:
    put("spenders", " Spring  2026 ", cast)
    toggle_star("segment", "others", user=cast.analyst)
    note_use("segment", "others", now=NOW)
    keys = ["spenders", "others", "nothing"]
    with django_assert_num_queries(3):  # type: ignore[operator]
        found = filings("segment", keys=keys, user=cast.analyst)
    assert found == {
        "spenders": Filing("Spring 2026", "analyst", cast.analyst.pk, False, None),
        "others": Filing("", "", None, True, date(2026, 3, 1)),
        "nothing": Filing(),
    }
    assert filing("segment", "others", user=cast.auditor).is_starred is False
    assert list(filings("segment", user=cast.analyst)) == ["others", "spenders"]
    assert folders("segment", viewer=cast.analyst) == ("Spring 2026",)
    assert folders("metric", viewer=cast.analyst) == ()


def test_a_folder_of_hidden_things_alone_is_not_offered(cast: Cast) -> None:
    World().apply({"segments": [{"key": "quiet", "purpose": "service", "visibility": "hidden",
                                 "rule": {"all": []}}]})  # fmt: skip
    CustomerList.objects.create(key="shut", is_hidden=True)
    CustomerList.objects.create(key="open")
    for kind, key, folder in (("segment", "quiet", "Q"), ("list", "shut", "S"),
                              ("list", "open", "O"), ("segment", "spenders", "A")):  # fmt: skip
        file_definition(kind, key, folder=folder, owner=None, actor="operations_manager", reason="")
    assert folders("segment", viewer=cast.analyst) == ("A",)
    assert folders("list", viewer=cast.analyst) == ("O",)
    assert folders("segment", viewer=cast.operations_manager) == ("A", "Q")
    assert folders("list", viewer=cast.operations_manager) == ("O", "S")


def test_moving_is_in_the_history_and_changes_nothing_else(cast: Cast) -> None:
    put("spenders", "A", cast)
    put("spenders", "B", cast)
    put("spenders", "B", cast)
    events = apps.get_model("segmentation", "CardEvent").objects.order_by("pgh_id")
    assert [event.folder for event in events] == ["A", "B"]
    assert events[1].pgh_context.metadata == {"actor": "analyst", "reason": "Tidy"}
    with pytest.raises(TierwiseError):
        put("spenders", "x" * 101, cast)
    assert Card.objects.get().folder == "B"


def test_the_first_author_answers_until_somebody_else_does(cast: Cast) -> None:
    assert claim("segment", "spenders", owner=cast.analyst).owner == cast.analyst
    assert claim("segment", "spenders", owner=cast.operations_manager).owner == cast.analyst


def test_a_form_behind_an_account_that_is_gone_is_refused(cast: Cast) -> None:
    """The history still names the account that owned it; that it went is the change."""
    former = User.objects.create_user("former")
    file_definition("segment", "spenders", folder="Old", owner=former, actor="zoe", reason="Tidy")
    seen = filing_state("segment", "spenders")
    with pghistory.context(actor="boss"):
        former.delete()
    with pytest.raises(TierwiseError) as refused:
        file_definition(
            "segment", "spenders", folder="Mine", owner=None, actor="me", reason="", seen=seen
        )
    assert refused.value.code == "overtaken"
    assert refused.value.message.startswith("boss changed this since you opened it")
    assert "It is now: folder: Old, owner: –." in refused.value.message
    assert Card.objects.get(key="spenders").folder == "Old"


def test_a_star_is_ones_own(cast: Cast) -> None:
    assert toggle_star("metric", "spend", user=cast.analyst) is True
    assert star_keys("metric", user=cast.analyst) == {"spend"}
    assert star_keys("metric", user=cast.auditor) == frozenset()
    assert toggle_star("metric", "spend", user=cast.analyst) is False
    assert star_keys("metric", user=cast.analyst) == frozenset()


def test_a_use_is_written_once_a_day(cast: Cast, django_assert_num_queries: object) -> None:
    note_use("metric", "spend", now=NOW)
    with django_assert_num_queries(1):  # type: ignore[operator]
        note_use("metric", "spend", now=NOW + timedelta(hours=2))
    note_use("metric", "spend", now=NOW + timedelta(days=1))
    note_use("metric", "spend", now=NOW)  # a late one does not go back
    assert LastUse.objects.get().used_on == date(2026, 3, 2)


def test_unused_is_what_nothing_names_and_nobody_touched(cast: Cast) -> None:
    published = DefinitionVersion.objects.earliest("published_at").published_at
    later = published + timedelta(days=91)
    assert unused_for("metric", now=published + timedelta(days=1)) == frozenset()
    # spend is named by a segment and a program; spenders by the segment others
    assert unused_for("metric", now=later) == {"orders"}
    assert unused_for("segment", now=later) == {"others"}
    note_use("metric", "orders", now=later - timedelta(days=10))
    assert unused_for("metric", now=later) == frozenset()
    assert unused_for("metric", days=5, now=later) == {"orders"}
    World().apply({"segments": [{"key": "others", "retired": True}]})
    assert unused_for("segment", now=later + timedelta(days=365)) == {"spenders"}
    World().apply({"segments": [{"key": "spenders", "retired": True}]})
    assert "spend" not in unused_for("metric", now=later + timedelta(days=365))
    World().apply({"programs": [{"key": "club", "retired": True}]})
    assert "spend" in unused_for("metric", now=later + timedelta(days=365))
