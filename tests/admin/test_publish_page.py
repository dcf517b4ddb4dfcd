"""The change before publishing where it needs a job: cancelled, asked for again, shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from membership.services.drafts import new_work, save_draft
from segmentation.domain.dependencies import Ref
from segmentation.models import Job
from segmentation.services.jobs import cancel_job, execute_job
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.desk_world import make_desk_world

Enter = Callable[..., Client]
FRESH = Ref("metric", "fresh")


@pytest.fixture
def cast(transactional_db: None, settings: Any, tmp_path: Path) -> Cast:
    settings.VAR_DIR = tmp_path
    make_desk_world()
    return make_cast()


def test_a_cancelled_computation_can_be_asked_for_again(cast: Cast, enter: Enter) -> None:
    """It stays cancelled however often the page is loaded, until somebody asks; the same change
    gives the same job, another one its own."""
    owner = cast.operations_manager
    metric = {
        "key": "fresh", "source": "orders", "unit": "count", "window": {"all": True},
        "aggregate": {"fn": "count"},
    }  # fmt: skip
    work = new_work(FRESH, metric, viewer=owner, actor="operations_manager")
    client = enter(owner)
    address = reverse("admin:builder_publish", args=["metric", "fresh"])

    def shown(**more: Any) -> Any:
        return client.get(address, {"part": "change", **more}).context

    first = shown()["job"]
    assert shown()["is_waiting"]
    assert shown()["job"] == first
    assert cancel_job(first, actor="operations_manager", now=real_now())
    for _load in range(2):
        stopped = shown()
        assert "cancelled" in stopped["change_error"]
    assert Job.objects.filter(kind="preview").count() == 1
    second = client.get(stopped["again_url"]).context["job"]
    assert second != first
    assert client.get(stopped["again_url"]).context["job"] == second
    assert execute_job(second, clock=real_now).status == Job.Status.DONE
    assert shown()["is_from_job"]

    fewer = {**metric, "window": {"days": 2}}
    save_draft(work, document=fewer, stamp=work.stamp, viewer=owner, actor="operations_manager")
    assert shown()["job"] not in (first, second)
