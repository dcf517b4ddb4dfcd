"""One's own work is in sight while it is under way: a number on every page, a line on Home."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from segmentation.models import Job
from tests.fixtures.cast import Cast
from tests.fixtures.sample import Shop

from .job_rows import exported
from .test_home import on_the_day as on_the_day

Enter = Callable[..., Client]


def _number(client: Client) -> int:
    """What the navigation says beside “Jobs”, asked on some page."""
    page = client.get(reverse("admin:segmentation_segment_changelist"))
    items = [item for group in page.context["sidebar_navigation"] for item in group["items"]]
    (found,) = [item["badge"] for item in items if item["icon"] == "pending_actions"]
    return int(found)


def _job(user: User, status: str, **more: Any) -> None:
    Job.objects.filter(pk=exported(user, **more).pk).update(status=status)


def test_the_number_counts_the_own_jobs_that_wait_or_run(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.analyst)
    assert _number(client) == 0
    for status in ("queued", "running", "done", "failed", "cancelled"):
        _job(cast.analyst, status)
        _job(cast.operations_manager, status)
    _job(cast.analyst, "running", is_hidden=True)  # hidden since: not even counted
    assert _number(client) == 2
    page = client.get(reverse("admin:segmentation_segment_changelist")).content.decode()
    assert "Jobs</span>" in page


def test_who_has_no_list_of_jobs_finds_their_own_on_home(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    def keys() -> list[str]:
        home = enter(cast.support_agent).get(reverse("admin:index"))
        return [block.key for block in home.context["blocks"]]

    assert "waiting" not in keys()
    _job(cast.support_agent, "running")
    assert "waiting" in keys()
