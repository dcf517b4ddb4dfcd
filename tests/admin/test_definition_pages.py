"""Pages of segments, metrics, tags and layerings, as the people who use them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from segmentation.models import (
    AccessRecord,
    Customer,
    LastUse,
    Layering,
    ManualMember,
    Metric,
    Run,
    Segment,
    TagGroup,
)
from segmentation.services.cards import file_definition
from segmentation.services.distributions import distribution
from segmentation.services.trends import trend
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.desk_world import HIDDEN, SIZE, SPENDERS, make_desk_world
from tests.fixtures.sample import HIDDEN_KEY, Shop
from tests.fixtures.world import World

Enter = Callable[..., Client]


@pytest.fixture
def desk(transactional_db: None, settings: Any, tmp_path: Path) -> tuple[World, Cast]:
    settings.VAR_DIR = tmp_path
    return make_desk_world(), make_cast()


def listing(kind: str, query: str = "") -> str:
    return reverse(f"admin:segmentation_{kind}_changelist") + query


def page(row: Any, part: str = "change") -> str:
    return reverse(f"admin:segmentation_{row._meta.model_name}_{part}", args=[row.pk])


def facts(response: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in response.context["facts"]}


def test_a_segments_page(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    segment = Segment.objects.get(key="spenders")
    response = enter(cast.analyst).get(page(segment))
    found = facts(response)
    assert found["Number of members"] == str(SPENDERS)
    assert (found["Entered"], found["Left"]) == ("+1", "±0")
    assert found["As of"] == "2026-01-16 00:00"
    assert found["Purpose"] == "Service"
    text = response.content.decode()
    assert "from 2025-12-18 00:00 to before 2026-01-16 00:00" in text  # the interval of `spend`
    sentences = {code: words for code, _name, words in response.context["sentences"]}
    assert sentences["en"] == "spend: at least 100 and not (Worth: equal to low)"
    assert "价值" in sentences["zh-hans"]
    chart = response.context["charts"][0]
    points = trend("segment", "spenders", viewer=cast.analyst)
    assert [float(point.size) for point in points] == chart.drawing["series"][0]["values"]
    assert [point.size for point in points] == [SPENDERS - 1, SPENDERS]
    related = {str(title): rows for title, rows, _empty in response.context["related"]}
    assert related["Used by"] == []  # the hidden one that uses it is not told
    assert len(related["Depends on"]) == 2
    manager = enter(cast.operations_manager).get(page(segment))
    used = {str(title): rows for title, rows, _empty in manager.context["related"]}["Used by"]
    assert len(used) == 1
    assert "Quiet owls" in str(used[0][1])


def test_a_hidden_segments_page_is_404_for_others_and_each_look_is_written_down(
    desk: tuple[World, Cast], enter: Enter
) -> None:
    _world, cast = desk
    hidden = Segment.objects.get(key=HIDDEN[0])
    parts = ("change", "members", "manual")
    for person in (cast.analyst, cast.store_manager, cast.support_agent, cast.integration):
        for part in parts:
            assert enter(person).get(page(hidden, part)).status_code == 404, (person, part)
    assert AccessRecord.objects.count() == 0
    client = enter(cast.reviewer)
    for part in parts:
        assert client.get(page(hidden, part)).status_code == 200
    looks = AccessRecord.objects.order_by("pk")
    assert [
        (look.kind, look.actor, look.subject_kind, look.subject_key, look.is_hidden)
        for look in looks
    ] == [("view_hidden", "reviewer", "segment", HIDDEN[0], True)] * 3
    assert [look.details["page"] for look in looks] == [page(hidden, part) for part in parts]


def test_looking_at_a_page_counts_as_use(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.analyst)
    for row in (shop.segment, Metric.objects.get(), TagGroup.objects.get(key="city_tier"),
                Layering.objects.get()):  # fmt: skip
        assert client.get(page(row)).status_code == 200
    assert set(LastUse.objects.values_list("kind", "key")) == {
        ("segment", "app_users"), ("metric", "net_spend_365d"), ("tag", "city_tier"),
        ("layering", "value_layer"),
    }  # fmt: skip


def test_a_failed_run_is_told_with_the_last_good_as_of(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    """The error shows to those who may know every name in it."""
    response = enter(cast.operations_manager).get(page(shop.segment))
    assert response.context["trouble"]["run"].status == Run.Status.FAILED
    text = response.content.decode()
    assert "published nothing" in text
    assert "as of 2026-03-02 00:00" in text
    assert HIDDEN_KEY in response.context["trouble"]["error"]
    restricted = enter(cast.analyst).get(page(shop.segment))
    assert restricted.context["trouble"]["error"] == "Details are restricted."
    Run.objects.filter(status=Run.Status.FAILED).delete()
    assert enter(cast.analyst).get(page(shop.segment)).context["trouble"] is None


def test_sizes_keep_to_the_row_scope(desk: tuple[World, Cast], enter: Enter) -> None:
    """The store manager sees store S1 alone; nobody of S2 is counted."""
    world, cast = desk
    segment = Segment.objects.get(key="spenders")
    for moved in ("c00", "c01"):
        world.record("customers", {"customer_id": moved, "home_store": "S2"})
    client = enter(cast.store_manager)
    assert facts(client.get(page(segment)))["Number of members"] == str(SPENDERS - 2)
    row = client.get(listing("segment")).context["cl"].result_list[0]
    assert (row.seen.size, row.seen.entered, row.seen.left) == (SPENDERS - 2, 1, 0)
    members = client.get(page(segment, "members"))
    assert members.context["total"] == str(SPENDERS - 2)
    shown = members.content.decode()
    assert "c02" in shown
    assert "c00" not in shown


def test_members_are_masked_and_paged(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    client = enter(cast.operations_manager)
    hidden, segment = Segment.objects.get(key=HIDDEN[0]), Segment.objects.get(key="spenders")
    response = client.get(page(segment, "members"))
    assert len(response.context["table"].rows) == SPENDERS
    text = response.content.decode()
    assert "138••••05" in text
    assert "13800000005" not in text
    entered = client.get(page(segment, "members") + "?which=entered")
    assert [str(row[1]) for row in entered.context["table"].rows] == ["Person 39"]
    left = client.get(page(hidden, "members") + "?which=left")
    assert [str(row[1]) for row in left.context["table"].rows] == ["Person 39"]
    assert client.get(page(segment, "members") + "?which=everybody").status_code == 404
    ordinals = Customer.objects.order_by("ordinal").values_list("ordinal", flat=True)
    behind = client.get(page(segment, "members") + f"?after={ordinals[37]}")
    assert [str(row[1]) for row in behind.context["table"].rows] == ["Person 38", "Person 39"]


def test_put_in_by_hand_from_the_segments_page(cast: Cast, shop: Shop, enter: Enter) -> None:
    """S16."""
    address = page(shop.hidden, "manual")
    row = {"customer": shop.customers[1].pk, "kind": "include"}
    assert enter(cast.auditor).post(address, {**row, "reason": "no right"}).status_code == 403
    client = enter(cast.operations_manager)
    refused = client.post(address, {**row, "reason": " "})
    assert "reason" in refused.context["form"].errors
    assert not ManualMember.objects.filter(segment=shop.hidden, kind="include").exists()
    assert client.post(address, {**row, "reason": "asked"}).status_code == 302
    made = ManualMember.objects.get(segment=shop.hidden, kind="include")
    assert (made.customer, made.reason, made.actor) == (
        shop.customers[1], "asked", "operations_manager",
    )  # fmt: skip
    again = client.post(address, {**row, "reason": "asked"})
    assert "already" in str(again.context["form"].non_field_errors())
    assert ManualMember.objects.filter(segment=shop.hidden, kind="include").count() == 1
    listed = client.get(address).context["table"].rows
    assert [(str(cells[2]), cells[3]) for cells in listed] == [
        ("asked", "operations_manager"), ("Orchid allergy", "auditor"),
    ]  # fmt: skip


def test_a_metrics_sheet(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    metric, run = Metric.objects.get(key="spend"), Run.objects.order_by("-pk")[0]
    response = enter(cast.analyst).get(page(metric))
    found = distribution(run, "spend", viewer=cast.analyst)
    assert found is not None
    assert (found.base, found.figures.known) == (SIZE, SIZE)
    # 40 spenders of 100 to 490, 19 of 10, and c59 of nothing
    assert str(found.figures.mean) == f"{(sum(range(100, 500, 10)) + 190) / 60:.2f}"
    shown = facts(response)
    assert shown["Coverage"] == "100.0 %"
    assert shown["Mean"] == "199.83 CNY"
    assert shown["Median"] == "200.00 CNY"
    lines = {str(name): str(value) for name, value in response.context["sheet"]}
    assert lines["Computes (English)"] == "sum of amount paid after refunds over orders"
    assert lines["Interval now"].startswith("from 2025-12-18 00:00 to before 2026-01-16 00:00")
    assert lines["Only facts with"] == "all facts"
    assert "Of no fact it is 0." in response.context["exclusions"]
    drawn = response.context["charts"][0].drawing["series"][0]["values"]
    assert abs(sum(drawn) - 100) < 0.1
    layers = response.context["panels"][-1].rows
    assert [[str(cell) for cell in row][1:] for row in layers] == [
        ["20", "20", "9.50 CNY"], ["40", "40", "295.00 CNY"],
    ]  # fmt: skip
    used = {str(title): rows for title, rows, _empty in response.context["related"]}["Used by"]
    names = [str(name) for _kind, name, _direct in used]
    assert any("Spenders" in name for name in names)
    assert any("club" in name for name in names)
    assert not any("owls" in name for name in names)


def test_a_tags_page(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    response = enter(cast.analyst).get(page(TagGroup.objects.get(key="buyer")))
    rows = response.context["panels"][0].rows
    assert [(str(row[1]), str(row[2])) for row in rows] == [("20", "33.9 %"), ("39", "66.1 %")]
    assert "spend: at least 300" in str(rows[0][3])
    assert response.context["charts"][0].drawing["series"][0]["values"] == [19.0, 20.0]
    assert "subject=tag%3Abuyer%2Fbig" in str(rows[0][0])


def test_what_was_published_since_the_run_is_said_so(
    desk: tuple[World, Cast], enter: Enter
) -> None:
    """New cuts stand beside the sizes of the old ones only with the words that they do."""
    world, cast = desk
    client = enter(cast.analyst)
    layering = Layering.objects.get(key="halves")

    def shown() -> tuple[bool, list[str]]:
        response = client.get(page(layering))
        layers = response.context["panels"][0]
        assert ("newer-than-run" in response.content.decode()) == response.context["is_newer"]
        return response.context["is_newer"], [str(line[1]) for line in layers.rows]

    assert shown() == (False, ["–", "200.00 CNY (P50)"])
    label = {"en": "Both halves", "zh-hans": "两半"}
    same = {"key": "halves", "metric": "spend", "layers": ["under", "over"], "label": label}
    world.apply({"layerings": [{**same, "cuts": {"percentiles": [50]}}]})
    assert shown() == (False, ["–", "200.00 CNY (P50)"])
    world.apply({"layerings": [{**same, "cuts": {"percentiles": [25]}}]})
    assert shown() == (True, ["–", "P25"])
    world.run("2026-01-17")
    assert not shown()[0]


def test_a_layerings_page_shows_the_frozen_cuts(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    client = enter(cast.analyst)
    fixed = client.get(page(Layering.objects.get(key="worth"))).context["panels"][0].rows
    assert [[str(cell) for cell in row[1:5]] for row in fixed] == [
        ["–", "100.00 CNY", "20", "33.3 %"], ["100.00 CNY", "–", "40", "66.7 %"],
    ]  # fmt: skip
    response = client.get(page(Layering.objects.get(key="halves")))
    frozen = response.context["panels"][0].rows
    assert [str(row[1]) for row in frozen] == ["–", "200.00 CNY (P50)"]
    assert [str(row[3]) for row in frozen] == ["30", "30"]
    means = {
        str(row[0]): [str(cell) for cell in row[1:]] for row in response.context["panels"][1].rows
    }
    assert means["spend"] == ["54.67 CNY", "345.00 CNY"]


@pytest.mark.parametrize(
    ("person", "statuses"),
    [
        ("operations_manager", (200, 200, 200, 200, 200)),
        ("reviewer", (200, 200, 200, 200, 200)),
        ("analyst", (200, 200, 200, 200, 200)),
        ("auditor", (200, 200, 200, 200, 200)),
        ("support_agent", (200, 403, 403, 403, 403)),
        ("store_manager", (200, 403, 403, 403, 403)),
        ("integration", (403, 403, 403, 403, 403)),
        ("stranger", (403, 403, 403, 403, 403)),
    ],
)
def test_who_sees_which_kind(
    cast: Cast, shop: Shop, enter: Enter, person: str, statuses: tuple[int, ...]
) -> None:
    user: User = getattr(cast, person)
    client = enter(user)
    kinds = ("segment", "metric", "taggroup", "layering", "customerlist")
    assert tuple(client.get(listing(kind)).status_code for kind in kinds) == statuses
    rows = (shop.segment, Metric.objects.get(), TagGroup.objects.get(key="promo_lover"),
            Layering.objects.get())  # fmt: skip
    assert tuple(client.get(page(row)).status_code for row in rows) == statuses[:4]
    for row in rows:  # nothing is changed here
        assert client.post(page(row), {"key": "changed"}).status_code == 403
    assert not Segment.objects.filter(key="changed").exists()


def test_hidden_words_are_on_no_page_of_the_analyst(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    file_definition(
        "segment", HIDDEN[0], folder="Owlery", owner=None, actor="tester", reason="filed"
    )
    client = enter(cast.analyst)
    rows = [*Segment.objects.filter(is_hidden=False), *Metric.objects.all(),
            *TagGroup.objects.all(), *Layering.objects.all()]  # fmt: skip
    addresses = [page(row) for row in rows]
    addresses += [listing(kind) for kind in ("segment", "metric", "taggroup", "layering")]
    addresses += [reverse("portrait"), reverse("portrait") + "?subject=segment:spenders"]
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        text = response.content.decode()
        assert [word for word in (*HIDDEN, "Owlery") if word in text] == [], address
