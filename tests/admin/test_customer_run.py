"""The portrait and the explanation of a real run: figures, gaps, and nothing hidden to others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from segmentation.models import AccessRecord, Customer, Objection
from tests.fixtures.cast import OWN_STORE, Cast, make_cast
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)
Enter = Callable[..., Client]
LAYERING = {
    "key": "spend_layer",
    "label": {"en": "Spend layer", "zh-hans": "消费分层"},
    "metric": "spend",
    "cuts": ["100"],
    "layers": ["low", "high"],
}


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def anna(settings: Any, tmp_path: Path) -> Customer:
    """Four customers: 150, 50, 50 and 20 within the past 30 days; anna bought for 150."""
    settings.VAR_DIR = tmp_path
    world = World()
    world.apply({**CLUB, "layerings": [LAYERING]})
    for name, amount in (("anna", "150"), ("ben", "50"), ("cleo", "50"), ("dora", "20")):
        world.order(name, "2026-01-10T09:00:00", amount)
    world.run("2026-01-15")
    return Customer.objects.get(external_id="anna")


def part(name: str, customer: Customer, query: str = "") -> str:
    return reverse(f"admin:segmentation_customer_{name}", args=[customer.pk]) + query


def _hidden_looks() -> list[tuple[str, str]]:
    rows = AccessRecord.objects.filter(kind=AccessRecord.Kind.VIEW_HIDDEN, is_hidden=True)
    return [(row.actor, f"{row.subject_kind}:{row.subject_key}") for row in rows.order_by("pk")]


def test_the_portrait_has_values_intervals_and_percentiles(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    context = enter(cast.support_agent).get(part("portrait", anna)).context
    found = {row.key: row for row in context["metrics"]}
    assert (found["spend"].value, found["spend"].unit) == ("150.00", "CNY")
    assert found["spend"].interval == "from 2025-12-17 00:00 to before 2026-01-15 00:00"
    # Three of four are below, anna herself counts half: 3.5 of 4; in her layer she is alone.
    assert (found["spend"].base, found["spend"].layer) == (88, 50)
    assert context["layers"] == [("Spend layer", "high")]
    assert context["portrait"].compared_in == "spend_layer"


def test_who_sees_one_store_compares_within_it(cast: Cast, anna: Customer, enter: Enter) -> None:
    """Among the four of all stores anna is at 88; of her store she is the only one but dora."""
    World().record(
        "customers",
        *({"customer_id": name, "home_store": OWN_STORE} for name in ("anna", "dora")),
    )
    context = enter(cast.store_manager).get(part("portrait", anna)).context
    found = {row.key: row for row in context["metrics"]}
    assert found["spend"].base == 75
    assert (
        "Percentile, own stores"
        in enter(cast.store_manager).get(part("portrait", anna)).content.decode()
    )


def test_the_gap_to_the_next_tier_goes_out_of_band(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    response = enter(cast.support_agent).get(part("portrait", anna))
    (ahead,) = response.context["ahead"]
    (gap,) = ahead.gaps
    assert (ahead.program, gap.have, gap.need, gap.missing, gap.percent) == (
        "club", "150.00 CNY", "1,000.00 CNY", "850.00 CNY", 15,
    )  # fmt: skip
    assert 'id="ahead-club" class="tw-ahead" hx-swap-oob="true"' in response.content.decode()


def test_hidden_segments_show_with_the_right_only_and_are_written_down(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    """`others` is hidden and has everybody who is no spender."""
    ben = Customer.objects.get(external_id="ben")
    for person in (cast.support_agent, cast.analyst):
        response = enter(person).get(part("portrait", ben))
        assert response.context["segments"] == []
        assert "others" not in response.content.decode()
    assert _hidden_looks() == []
    seen = enter(cast.operations_manager).get(part("portrait", ben)).context["segments"]
    assert [(each["key"], each["is_hidden"]) for each in seen] == [("others", True)]
    assert _hidden_looks() == [("operations_manager", "customer:ben")]


def test_who_objects_is_in_no_hidden_segment_at_once(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    ben = Customer.objects.get(external_id="ben")
    Objection.objects.create(customer=ben, objected_at=day("2026-01-15"))
    response = enter(cast.operations_manager).get(part("portrait", ben))
    assert response.context["segments"] == []
    assert _hidden_looks() == []


@pytest.mark.parametrize(
    ("language", "start"),
    [("en", "In spenders: spend (last 30 days"), ("zh-hans", None)],
)
def test_a_segment_is_explained_with_values_and_both_sentences(
    cast: Cast, anna: Customer, enter: Enter, language: str, start: str | None
) -> None:
    client = enter(cast.support_agent, language=language)
    context = client.get(part("explain", anna, "?subject=segment:spenders")).context
    assert context["verdict"] is True
    (branch,) = context["branches"]
    assert (branch.actual, branch.facts, branch.verdict) == ("150.00", 1, True)
    assert [code for code, _sentence in context["sentences"]] == (
        ["en", "zh-hans"] if language == "en" else ["zh-hans", "en"]
    )
    if start:
        assert context["sentences"][0][1].startswith(start)


def test_a_tier_is_explained_beside_the_one_held(cast: Cast, anna: Customer, enter: Enter) -> None:
    context = enter(cast.support_agent).get(part("explain", anna, "?subject=tier:club")).context
    assert (context["tier"], context["held"]) == ("silver", "silver")
    assert [(line.words, line.verdict, line.gap) for line in context["branches"]] == [
        ("Tier gold", False, ""),
        ("spend: at least 1000.00", False, "850.00"),
        ("Tier silver", True, ""),
        ("spend: at least 100.00", True, ""),
    ]


@pytest.mark.parametrize(
    "subject",
    ["segment:others", "segment:nothing", "tier:nothing", "metric:spend", "segment:", "", "x"],
)
def test_what_one_may_not_know_of_is_not_found(
    cast: Cast, anna: Customer, enter: Enter, subject: str
) -> None:
    """A hidden subject answers like one that does not exist; nobody looked at anything."""
    address = part("explain", anna, f"?subject={subject}")
    for person in (cast.support_agent, cast.analyst):
        assert enter(person).get(address).status_code == 404
    assert _hidden_looks() == []
    expected = 200 if subject == "segment:others" else 404
    assert enter(cast.operations_manager).get(address).status_code == expected
    looks = [("operations_manager", "segment:others")] if expected == 200 else []
    assert _hidden_looks() == looks


def test_a_rule_that_was_hidden_at_the_run_is_not_told(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    """A segment published as internal since: until the next run its rule is the hidden one."""
    others = CLUB["segments"][1]
    world = World()
    world.apply({"segments": [{**others, "key": "both", "rule": {"segment": "others",
                                                                 "cmp": "member"}}]})  # fmt: skip
    world.run("2026-01-16")
    world.apply({"segments": [{**CLUB["segments"][0], "key": "both"}]})
    address = part("explain", anna, "?subject=segment:both")
    shut = enter(cast.support_agent).get(address)
    assert "refused" in shut.context
    assert "others" not in shut.content.decode()
    assert enter(cast.operations_manager).get(address).context["verdict"] is False
    world.run("2026-01-17")
    assert enter(cast.support_agent).get(address).context["verdict"] is True


def test_who_was_in_what_was_hidden_at_the_run_is_not_told(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    """The same between publishing it as internal and the next run: the portrait is the run's."""
    world = World()
    world.apply({"segments": [{**CLUB["segments"][1], "visibility": "internal"}]})
    address = part("portrait", Customer.objects.get(external_id="ben"))
    assert "others" not in enter(cast.support_agent).get(address).content.decode()
    assert "others" in enter(cast.operations_manager).get(address).content.decode()
    world.run("2026-01-16")
    assert "others" in enter(cast.support_agent).get(address).content.decode()


def test_the_choice_of_subjects_offers_nothing_hidden(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    for person, offered in (
        (cast.support_agent, ["tier:club", "segment:spenders"]),
        (cast.operations_manager, ["tier:club", "segment:others", "segment:spenders"]),
    ):
        context = enter(person).get(part("subjects", anna)).context
        assert [subject.name for subject in context["subjects"]] == offered
    assert (
        enter(cast.support_agent).get(part("subjects", anna, "?q=other")).context["subjects"] == []
    )


def test_a_customer_recorded_after_the_run_is_said_so(
    cast: Cast, anna: Customer, enter: Enter
) -> None:
    World(counter=90).order("late", "2026-01-16T09:00:00", "1")
    late = Customer.objects.get(external_id="late")
    client = enter(cast.support_agent)
    assert "recorded after it" in client.get(part("portrait", late)).content.decode()
    explained = client.get(part("explain", late, "?subject=tier:club"))
    assert "refused" in explained.context
