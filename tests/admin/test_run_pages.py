"""The run page: followed while it runs, verified, cut to what a person may see."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from segmentation.models import Job, Run, StaffScope
from tests.fixtures.cast import Cast
from tests.fixtures.sample import HIDDEN_SIZE, Shop

from .job_rows import page

Enter = Callable[..., Client]


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def verify(client: Client, run: Run, key: str = "k") -> Any:
    return client.post(reverse("admin:segmentation_run_verify", args=[run.pk]), {"key": key})


def test_verifying_a_run_is_a_job_and_its_verdict_stays_on_the_page(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    address = reverse("admin:segmentation_run_change", args=[shop.run.pk])
    client = enter(cast.auditor)
    assert "Nobody has verified this run yet." in client.get(address).content.decode()
    assert {verify(client, shop.run).status_code for _click in range(2)} == {302}
    job = Job.objects.get()
    assert (job.kind, job.subject) == ("verify_run", f"run:{shop.run.pk}")
    result = {"run": shop.run.pk, "recorded_hash": "a" * 64, "derived_hash": "b" * 64,
              "equal": False, "erased": 0}  # fmt: skip
    Job.objects.update(status="done", result=result, finished_at=real_now())
    for person in (cast.auditor, cast.reviewer):
        text = enter(person).get(address).content.decode()
        assert "another result" in text
        assert "b" * 64 in text
    assert page("change", job) not in enter(cast.reviewer).get(address).content.decode()
    assert "another result" in client.get(page("change", job)).content.decode()


def test_verifying_needs_its_right_and_a_result(cast: Cast, shop: Shop, enter: Enter) -> None:
    for person in (cast.reviewer, cast.integration, cast.store_manager, cast.support_agent):
        assert verify(enter(person), shop.run).status_code == 403
    failed = Run.objects.create(
        as_of=real_now(), status="failed", requested_by="x", requested_at=real_now()
    )
    assert verify(enter(cast.auditor), failed).status_code == 404
    assert enter(cast.auditor).get(
        reverse("admin:segmentation_run_verify", args=[shop.run.pk])
    ).status_code == 405  # fmt: skip
    assert not Job.objects.exists()


def test_a_run_under_way_is_followed(cast: Cast, shop: Shop, enter: Enter) -> None:
    run = Run.objects.create(
        as_of=real_now(), status="running", stage="metrics", requested_by="x",
        requested_at=real_now(), started_at=real_now() - timedelta(seconds=65),
    )  # fmt: skip
    client = enter(cast.analyst)
    address = reverse("admin:segmentation_run_progress", args=[run.pk])
    text = client.get(address).content.decode()
    assert "Stage 4 of 12: Metrics" in text
    assert "Computes each metric of each customer." in text
    assert re.search(r"For 6\d s; the last runs took", text)
    page_address = reverse("admin:segmentation_run_change", args=[run.pk])
    assert 'hx-trigger="every 2s"' in client.get(page_address).content.decode()
    Run.objects.filter(pk=run.pk).update(status="failed")
    assert client.get(address).headers["HX-Refresh"] == "true"
    assert 'hx-trigger="every 2s"' not in client.get(page_address).content.decode()
    assert enter(cast.support_agent).get(address).status_code in (403, 404)


def test_a_run_that_waits_tells_for_what(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.analyst)
    first, second = (
        Run.objects.create(
            as_of=real_now(), status="queued", requested_by="x", requested_at=real_now(),
            attempts=attempts,
        )
        for attempts in (2, 0)
    )  # fmt: skip
    address = reverse("admin:segmentation_run_progress", args=[second.pk])
    assert "1 run is before it." in client.get(address).content.decode()
    Run.objects.filter(pk=first.pk).update(not_before=real_now() + timedelta(minutes=5))
    assert "before it" not in client.get(address).content.decode()
    text = client.get(reverse("admin:segmentation_run_progress", args=[first.pk])).content.decode()
    assert "The next attempt is at" in text
    assert "2 attempts came to nothing" in text


def test_stopping_a_run_is_shown_first_and_needs_its_right(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    run = Run.objects.create(
        as_of=real_now(), status="queued", requested_by="x", requested_at=real_now()
    )
    stop = reverse("admin:segmentation_run_cancel", args=[run.pk])
    page_address = reverse("admin:segmentation_run_change", args=[run.pk])
    for person in (cast.analyst, cast.reviewer, cast.auditor, cast.support_agent):
        client = enter(person)
        assert client.get(stop).status_code == 403
        assert client.post(stop).status_code == 403
        if person == cast.analyst:
            assert stop not in client.get(page_address).content.decode()
    client = enter(cast.operations_manager)
    assert stop in client.get(page_address).content.decode()
    shown = client.get(stop)
    assert shown.status_code == 200
    assert "It publishes nothing" in shown.content.decode()
    run.refresh_from_db()
    assert (run.status, run.cancelled_at) == ("queued", None)
    assert client.post(stop).headers["Location"] == page_address
    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "cancelled")
    assert run.cancelled_by == cast.operations_manager.get_username()
    text = client.get(page_address).content.decode()
    assert f"Stopped by {run.cancelled_by}. Nothing was published." in text
    assert stop not in text
    late = client.post(stop, follow=True).content.decode()
    assert "It was too late" in late


def test_a_run_shows_some_stores_no_figures_of_all(cast: Cast, shop: Shop, enter: Enter) -> None:
    """A role made by hand that may see runs, but only customers of some stores."""
    codenames = ("view_run", "view_segmentresult", "view_hidden_segment", "view_runcount")
    StaffScope.objects.update(home_stores=["S9"])  # nobody's
    cast.store_manager.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = enter(User.objects.get(pk=cast.store_manager.pk))
    response = client.get(reverse("admin:segmentation_run_change", args=[shop.run.pk]))
    tables: Mapping[str, Any] = {str(table.title): table for table in response.context["panels"]}
    assert {"Tags", "Layers", "Tiers"} & set(tables) == set()
    assert {str(row[2]) for row in tables["Segments"].rows} == {"0"}  # none of theirs
    text = response.content.decode()
    assert f"{HIDDEN_SIZE:,}" not in text
    for name in ("segmentresult", "runcount"):
        assert client.get(reverse(f"admin:segmentation_{name}_changelist")).status_code == 403
