"""The form that asks for an export, and the button that leads to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from segmentation.models import Job
from tests.fixtures.cast import Cast
from tests.fixtures.sample import HIDDEN_KEY, HIDDEN_LABEL_EN, Shop

from .job_rows import page

Enter = Callable[..., Client]


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def ask(client: Client, source: str, query: str = "", **more: str) -> Any:
    address = reverse("admin:segmentation_job_export", args=[source]) + query
    form = client.get(address).context["form"]
    return client.post(address, {"file_format": "csv", "key": form.initial["key"], **more})


def test_the_export_form_makes_one_job_however_often_it_is_sent(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    address = reverse("admin:segmentation_job_export", args=["segment"]) + "?key=app_users"
    response = client.get(address)
    assert response.context["preview"].about == "App users"
    sent = {"file_format": "xlsx", "key": response.context["form"].initial["key"]}
    answers = [client.post(address, sent) for _ in range(2)]
    job = Job.objects.get()
    assert {answer.headers["Location"] for answer in answers} == {page("change", job)}
    assert job.parameters["parameters"] == {"key": "app_users", "run": shop.run.pk}
    assert (job.subject, job.parameters["format"]) == ("segment:app_users", "xlsx")


def test_the_personal_switch_is_only_there_with_the_right(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    address = reverse("admin:segmentation_job_export", args=["customers"])
    fields = {
        person: "with_personal" in enter(getattr(cast, person)).get(address).context["form"].fields
        for person in ("operations_manager", "analyst")
    }
    assert fields == {"operations_manager": True, "analyst": False}
    # Sent all the same it changes nothing.
    ask(enter(cast.analyst), "customers", with_personal="on")
    assert Job.objects.get().parameters["with_personal"] is False


def test_a_hidden_segment_has_no_export_form_for_others(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    address = reverse("admin:segmentation_job_export", args=["segment"])
    client = enter(cast.analyst)
    for key in (HIDDEN_KEY, "no_such"):
        assert client.get(f"{address}?key={key}").status_code == 404
        assert client.post(f"{address}?key={key}", {"file_format": "csv"}).status_code == 404
    text = enter(cast.operations_manager).get(f"{address}?key={HIDDEN_KEY}").content.decode()
    assert HIDDEN_LABEL_EN in text
    assert not Job.objects.exists()


@pytest.mark.parametrize("person", ["support_agent", "auditor", "integration", "stranger"])
def test_without_the_right_there_is_no_export(
    cast: Cast, shop: Shop, enter: Enter, person: str
) -> None:
    client = enter(getattr(cast, person))
    for source in ("customers", "orders", "segment", "runs"):
        address = reverse("admin:segmentation_job_export", args=[source])
        assert client.get(address).status_code == 403
        assert client.post(address, {"file_format": "csv", "key": "k"}).status_code == 403
    assert not Job.objects.exists()


def test_a_filter_that_cannot_be_followed_is_said(cast: Cast, shop: Shop, enter: Enter) -> None:
    address = reverse("admin:segmentation_job_export", args=["orders"]) + "?batch__actor=x"
    response = enter(cast.analyst).get(address)
    assert response.context["form"] is None
    assert response.context["problems"] == ["An export cannot follow the filter batch__actor."]


def test_the_button_of_a_list_passes_its_filter(cast: Cast, shop: Shop, enter: Enter) -> None:
    address = reverse("admin:segmentation_run_changelist") + "?status__exact=published"
    response = enter(cast.analyst).get(address)
    target = reverse("admin:segmentation_job_export", args=["runs"])
    assert response.context["export_url"] == f"{target}?status__exact=published"
    assert enter(cast.auditor).get(address).context["export_url"] == ""  # no right to export
