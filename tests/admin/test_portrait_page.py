"""The portrait of a group: its figures, who may see it, what is written down, its export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from segmentation.admin.portrait_lines import metric_lines
from segmentation.admin.portrait_words import mean_index
from segmentation.domain.definitions import Label
from segmentation.domain.errors import NotFoundError
from segmentation.models import AccessRecord, Customer, CustomerListMember, Job, Run, SegmentResult
from segmentation.services.access_log import Looker
from segmentation.services.customer_lists import create_list
from segmentation.services.exporting import request_export
from segmentation.services.jobs import execute_job, job_folder, new_key
from segmentation.services.portrait_results import Bucket, Figures, MetricPortrait
from segmentation.services.subject_portraits import portrait_of
from segmentation.services.subjects import read_subject, subject_choices, subject_members
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.desk_world import HIDDEN, SIZE, SPENDERS, make_desk_world
from tests.fixtures.world import World

Enter = Callable[..., Client]


@pytest.fixture
def desk(transactional_db: None, settings: Any, tmp_path: Path) -> tuple[World, Cast]:
    settings.VAR_DIR = tmp_path
    return make_desk_world(), make_cast()


def address(subject: str, **more: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in {"subject": subject, **more}.items())
    return f"{reverse('portrait')}?{query}"


def newest() -> Run:
    return Run.objects.order_by("-pk")[0]


def lines(response: Any, group: str) -> dict[str, tuple[str, str, str, str]]:
    cards = [*response.context["tags"], *response.context["layerings"]]
    card = next(card for card in cards if card.title == group)
    return {
        line.value: (str(line.count), line.share, line.base_share, line.tgi) for line in card.lines
    }


def test_the_page_shows_the_figures_of_the_service(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    response = enter(cast.analyst).get(address("segment:spenders"))
    subject = read_subject("segment:spenders", run=newest(), viewer=cast.analyst)
    found = portrait_of(subject, run=newest(), viewer=cast.analyst)
    assert response.context["portrait"] == found
    assert (found.size, found.base_size) == (SPENDERS, SIZE)
    assert lines(response, "Drink") == {
        "tea": ("40", "100.0 %", "66.7 %", "150"), "milk": ("0", "0.0 %", "33.3 %", "0"),
    }  # fmt: skip
    assert lines(response, "Buyer") == {
        "big": ("20", "50.0 %", "33.9 %", "148"), "small": ("20", "50.0 %", "66.1 %", "76"),
    }  # fmt: skip
    assert lines(response, "Worth")["high"] == ("40", "100.0 %", "66.7 %", "150")
    spend = next(line for line in response.context["metrics"] if line.name == "spend")
    assert (spend.mean, spend.base_mean, spend.index) == ("295.00 CNY", "199.83 CNY", "148")
    assert spend.coverage == "100.0 %"
    text = response.content.decode()
    assert "Drink “milk” 0.0 % (everybody 33.3 %)" in text  # the clearest difference of the tag
    boxes = {str(box.question): box.facts for box in response.context["boxes"]}
    assert boxes["Who"][0] == "40 customers, 66.7 % of everybody"
    assert boxes["Why"] == ("Service",)
    assert boxes["How much"] == ("spend on average 295.00 CNY (everybody 199.83 CNY)",)
    assert boxes["Where"] == ()
    assert "The portrait knows nothing about this" in text


def test_a_metric_that_nobody_in_the_group_has_hides_nothing() -> None:
    """No value is no small cell; the index of means is rounded half-up like that of shares."""
    nothing = Figures(0, Decimal(0), None, None, None, None)
    base = Figures(40, Decimal(1), Decimal(8), Decimal(1), Decimal(2), Decimal(3))
    buckets = (Bucket(None, Decimal(2), None, Decimal(1)),)
    metric = MetricPortrait("m", Label("m", "m"), "count", nothing, base, buckets)
    (line,) = metric_lines([metric], ())
    assert line.buckets[0][1] == line.mean == "–"
    few = replace(metric, group=Figures(None, None, None, None, None, None))
    assert metric_lines([few], ())[0].buckets[0][1] == "not shown"
    half = replace(metric, group=replace(base, mean=Decimal(1)))  # 12.5 of 100
    assert mean_index(half) == 13


def test_every_kind_of_group_has_a_portrait(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    client = enter(cast.operations_manager)
    row = create_list(
        key="guests", label=Label("Guests", "来宾"), is_hidden=False, note="", actor="tester",
        viewer=cast.operations_manager, reason="",
    )  # fmt: skip
    result = SegmentResult.objects.get(run=newest(), segment__key="spenders")
    tea = subject_members(
        read_subject("tag:drink/tea", run=newest(), viewer=cast.analyst),
        run=newest(), viewer=cast.analyst,
    )  # fmt: skip
    assert tea.serialize() == bytes(result.members)
    for customer in Customer.objects.filter(external_id__in=["c00", "c01", "c50"]):
        CustomerListMember.objects.create(list=row, customer=customer)
    sizes = {
        "segment:spenders": 40, "layer:worth/low": 20, "layer:halves/over": 30,
        "tag:drink/milk": 20, "tag:buyer/big": 20, "tier:club/silver": 40, "list:guests": 3,
        f"segment:{HIDDEN[0]}": 20,
        "tier:club/gold": 0,
    }  # fmt: skip
    for text, size in sizes.items():
        response = client.get(address(text))
        assert response.status_code == 200, text
        assert response.context["portrait"].size == size, text
    assert "Fewer than 30 customers" in client.get(address("list:guests")).content.decode()
    assert "Nobody that you may see" in client.get(address("tier:club/gold")).content.decode()
    offered = {
        str(subject)
        for choices in subject_choices(newest(), viewer=cast.operations_manager)
        for subject in choices.subjects
    }
    assert offered >= set(sizes)
    for text in offered:
        assert client.get(address(text)).status_code == 200, text


@pytest.mark.parametrize(
    "text",
    ["segment:nothing", "segment", "list:nothing", "layer:worth/middle", "layer:nothing/low",
     "tier:club/bronze", "tag:nothing/x", "customer:c00", "attr:city/x", "tag:drink"],
)  # fmt: skip
def test_what_does_not_exist_is_404(desk: tuple[World, Cast], enter: Enter, text: str) -> None:
    _world, cast = desk
    assert enter(cast.operations_manager).get(address(text)).status_code == 404


def test_a_hidden_group_is_404_for_others_and_suppressed_for_those_with_the_right(
    desk: tuple[World, Cast], enter: Enter
) -> None:
    _world, cast = desk
    hidden = f"segment:{HIDDEN[0]}"
    for person in (cast.analyst, cast.store_manager, cast.support_agent):
        client = enter(person)
        assert client.get(address(hidden)).status_code == 404
        assert client.get(address("segment:spenders", against=hidden)).status_code == 404
        text = client.get(reverse("portrait")).content.decode()
        assert [word for word in HIDDEN if word in text] == []
    assert AccessRecord.objects.count() == 0
    response = enter(cast.reviewer).get(address(hidden))
    assert lines(response, "Drink")["milk"] == ("not shown", "–", "33.3 %", "–")
    spend = next(line for line in response.context["metrics"] if line.name == "spend")
    assert (str(spend.mean), str(spend.median)) == ("not shown", "not shown")
    look = AccessRecord.objects.get()
    assert (look.kind, look.actor, look.subject_kind, look.subject_key) == (
        "view_hidden", "reviewer", "segment", HIDDEN[0],
    )  # fmt: skip
    enter(cast.auditor).get(address("segment:spenders", against=hidden))
    assert AccessRecord.objects.filter(actor="auditor", subject_key=HIDDEN[0]).count() == 1


def test_a_store_manager_compares_within_the_own_store(
    desk: tuple[World, Cast], enter: Enter
) -> None:
    _world, cast = desk
    response = enter(cast.store_manager).get(address("segment:spenders"))
    found = response.context["portrait"]
    assert (found.size, found.base_size) == (
        SPENDERS,
        SPENDERS,
    )  # nobody of S2
    assert lines(response, "Drink")["milk"] == ("0", "0.0 %", "0.0 %", "–")
    assert "Only the customers of your stores: S1" in response.content.decode()
    assert enter(cast.store_manager).get(address("layer:worth/low")).status_code == 404
    assert response.context["save_url"] == ""


def test_people_without_the_right_to_see_customers_have_no_portraits(
    desk: tuple[World, Cast], enter: Enter
) -> None:
    _world, cast = desk
    assert enter(cast.stranger).get(reverse("portrait")).status_code == 403
    assert enter(cast.stranger).get(address("segment:spenders")).status_code == 403
    # The engineer sees customers but no segments.
    assert enter(cast.integration).get(address("segment:spenders")).status_code == 404


def test_another_group_beside_it(desk: tuple[World, Cast], enter: Enter) -> None:
    _world, cast = desk
    response = enter(cast.analyst).get(address("segment:spenders", against="layer:worth/low"))
    drink = next(card for card in response.context["tags"] if card.title == "Drink")
    assert [str(line.other) for line in drink.lines] == ["0.0 %", "100.0 %"]
    spend = next(line for line in response.context["metrics"] if line.name == "spend")
    assert spend.other == "9.50 CNY"


def test_files_that_are_gone_are_told(
    desk: tuple[World, Cast], enter: Enter, settings: Any, tmp_path: Path
) -> None:
    _world, cast = desk
    settings.VAR_DIR = tmp_path / "elsewhere"
    response = enter(cast.analyst).get(address("segment:spenders"))
    assert response.status_code == 200
    assert "The files of this run are gone" in response.content.decode()


def test_the_export_has_the_same_figures_and_the_same_rights(
    desk: tuple[World, Cast],
) -> None:
    _world, cast = desk

    def asked(user: Any, subject: str) -> Job:
        return request_export(
            "portrait", parameters={"subject": subject}, file_format="csv", user=user,
            looker=Looker(user.get_username(), "admin", user), key=new_key(), now=real_now(),
        )  # fmt: skip

    job = execute_job(asked(cast.analyst, "segment:spenders"), clock=real_now)
    assert job.status == "done", job.error
    text = (job_folder(job.pk) / "result").read_text("utf-8-sig")
    assert "Tag,drink,Drink,tea,40,1.0000,40,0.6667,150" in text
    assert "Metric,spend,spend,,40,1.0000,60,1.0000,,295.00,199.83,200.00,300.00,400.00" in text
    with pytest.raises(NotFoundError):
        asked(cast.analyst, f"segment:{HIDDEN[0]}")
    assert Job.objects.count() == 1
    hidden = execute_job(asked(cast.operations_manager, f"segment:{HIDDEN[0]}"), clock=real_now)
    assert hidden.is_hidden
    rows = (job_folder(hidden.pk) / "result").read_text("utf-8-sig")
    assert "Tag,drink,Drink,milk,,,20,0.3333," in rows
    kinds = AccessRecord.objects.values_list("kind", "subject_key")
    assert ("export_hidden", HIDDEN[0]) in set(kinds)
