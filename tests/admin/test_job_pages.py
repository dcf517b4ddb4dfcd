"""Pages of jobs: whose they are, what shows, cancelling and downloading."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from segmentation.models import AccessRecord, Job
from segmentation.services.jobs import job_folder
from tests.fixtures.cast import Cast
from tests.fixtures.exports import ask_export
from tests.fixtures.sample import HIDDEN_KEY, HIDDEN_LABEL_EN, Shop

from .job_rows import exported, finished, page

Enter = Callable[..., Client]


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def test_the_list_shows_the_own_jobs_and_with_the_right_everybodys(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    exported(cast.analyst)
    exported(cast.operations_manager)
    address = reverse("admin:segmentation_job_changelist")

    def actors(user: User, query: str = "") -> list[str]:
        found = enter(user).get(address + query)
        return [job.actor for job in found.context["cl"].result_list]

    assert actors(cast.analyst) == ["analyst"]
    assert actors(cast.store_manager) == []
    assert actors(cast.auditor) == ["operations_manager", "analyst"]
    assert actors(cast.operations_manager, "?whose=mine") == ["operations_manager"]
    assert actors(cast.auditor, "?kind=import") == []
    assert enter(cast.support_agent).get(address).status_code == 403


def test_a_job_is_the_persons_own_or_not_there(cast: Cast, shop: Shop, enter: Enter) -> None:
    job = exported(cast.analyst)
    for name in ("change", "progress", "file"):
        assert enter(cast.store_manager).get(page(name, job)).status_code == 404
        assert enter(cast.auditor).get(page(name, job)).status_code in (200, 403)
    # A person without the list's right still follows the work they asked for.
    own = exported(cast.support_agent)
    assert enter(cast.support_agent).get(page("change", own)).status_code == 200


def test_a_hidden_job_does_not_exist_for_others(cast: Cast, shop: Shop, enter: Enter) -> None:
    """Neither its page nor its file, progress or cancelling; not even when it was the own one."""
    cast.analyst.user_permissions.add(Permission.objects.get(codename="view_all_jobs"))
    job = exported(
        cast.operations_manager, is_hidden=True, subject=f"segment:{HIDDEN_KEY}",
        parameters={"source": "segment", "format": "csv",
                    "parameters": {"key": HIDDEN_KEY, "run": shop.run.pk}},
    )  # fmt: skip
    own = exported(cast.analyst, is_hidden=True)
    for person in (cast.analyst, cast.integration, cast.store_manager):
        client = enter(person)
        for each in (job, own):
            for name in ("change", "progress", "file", "history"):
                assert client.get(page(name, each)).status_code in (403, 404), (person, name)
            assert client.post(page("cancel", each)).status_code == 404
        if person.has_perm("segmentation.view_job"):
            text = client.get(reverse("admin:segmentation_job_changelist")).content.decode()
            assert HIDDEN_KEY not in text
    text = enter(cast.operations_manager).get(page("change", job)).content.decode()
    assert HIDDEN_KEY in text  # the control


def test_progress_is_asked_for_until_the_job_has_ended(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    job = ask_export("customers", user=cast.analyst, query={})
    client = enter(cast.analyst)
    text = client.get(page("progress", job)).content.decode()
    assert 'hx-trigger="every 1s"' in text
    assert "Waiting for a worker." in text
    Job.objects.filter(pk=job.pk).update(status="running", done=1, total=4, stage="Writing")
    assert "Writing · 25 %" in client.get(page("progress", job)).content.decode()
    Job.objects.filter(pk=job.pk).update(status="done")
    text = client.get(page("progress", job)).content.decode()
    assert "hx-trigger" not in text
    anonymous = Client().get(page("progress", job))
    assert (anonymous.status_code, anonymous.headers["HX-Refresh"]) == (200, "true")
    assert anonymous.content == b""


def test_a_job_nobody_takes_says_so(cast: Cast, shop: Shop, enter: Enter) -> None:
    job = ask_export("customers", user=cast.analyst, query={})
    Job.objects.filter(pk=job.pk).update(requested_at=real_now() - timedelta(minutes=2))
    text = enter(cast.analyst).get(page("change", job)).content.decode()
    assert "No worker has taken it. Is one running?" in text


def test_a_failed_job_shows_every_problem(cast: Cast, shop: Shop, enter: Enter) -> None:
    details = [
        {"path": "/columns/placed", "code": "unknown_column", "message": "no column 'placed'."},
        {"path": "/columns/amount", "code": "missing_column", "message": "amount is required."},
    ]
    job = finished(
        "import", user=cast.operations_manager, status="failed", parameters={"kind": "orders"},
        error={"code": "invalid", "message": "x", "details": details},
    )  # fmt: skip
    response = enter(cast.operations_manager).get(page("change", job))
    assert [row[0] for row in response.context["view"].problems] == [
        "/columns/placed", "/columns/amount",
    ]  # fmt: skip
    assert "Nothing was recorded" in response.content.decode()


def test_a_log_that_names_something_hidden_is_restricted(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    log = [{"at": "2026-03-01T00:00:00+00:00", "message": f"about {HIDDEN_LABEL_EN}"}]
    error = {"code": "x", "message": f"{HIDDEN_KEY} is broken", "details": []}
    job = finished("export", user=cast.analyst, status="failed", log=log, error=error,
                   parameters={"source": "customers", "format": "csv"})  # fmt: skip
    view = enter(cast.analyst).get(page("change", job)).context["view"]
    assert view.log == (("2026-03-01 08:00:00", "Details are restricted."),)
    assert view.error == "Details are restricted."


def test_cancelling_is_for_the_person_who_asked_or_by_right(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    job = ask_export("customers", user=cast.analyst, query={})
    assert enter(cast.auditor).post(page("cancel", job)).status_code == 403
    assert enter(cast.analyst).get(page("cancel", job)).status_code == 405
    assert Job.objects.get().status == "queued"
    assert enter(cast.analyst).post(page("cancel", job)).status_code == 302
    assert Job.objects.get().status == "cancelled"
    other = ask_export("customers", user=cast.analyst, query={})
    manager = enter(cast.operations_manager)
    assert 'id="cancel"' in manager.get(page("change", other)).content.decode()
    assert manager.post(page("cancel", other)).status_code == 302
    other.refresh_from_db()
    assert (other.status, other.log[-1]["message"]) == (
        "cancelled", "Cancelled by operations_manager.",
    )  # fmt: skip


def test_a_job_that_is_not_seen_is_not_cancelled(cast: Cast, shop: Shop, enter: Enter) -> None:
    cast.integration.user_permissions.add(Permission.objects.get(codename="cancel_all_jobs"))
    job = ask_export("customers", user=cast.analyst, query={})
    Job.objects.filter(pk=job.pk).update(is_hidden=True)
    assert enter(cast.integration).post(page("cancel", job)).status_code == 404
    job.refresh_from_db()
    assert job.status == "queued"


def test_a_download_is_streamed_checked_and_written_down(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    job = exported(cast.analyst)
    response = enter(cast.analyst).get(page("file", job))
    assert response.streaming
    assert b"".join(response.streaming_content) == b"rows"
    assert response.headers["Content-Disposition"] == 'attachment; filename="customers.csv"'
    assert "no-store" in response.headers["Cache-Control"]
    record = AccessRecord.objects.get()
    assert (record.kind, record.actor, record.rows) == ("export", "analyst", 4)
    assert record.details == {"download_of_job": job.pk}
    cast.analyst.groups.clear()
    assert enter(User.objects.get(pk=cast.analyst.pk)).get(page("file", job)).status_code == 403
    assert AccessRecord.objects.count() == 1


def test_a_file_that_is_gone_is_said_to_be_gone(cast: Cast, shop: Shop, enter: Enter) -> None:
    job = exported(cast.analyst)
    (job_folder(job.pk) / "result").unlink()
    assert enter(cast.analyst).get(page("file", job)).status_code == 404
    assert "files of jobs are kept" in enter(cast.analyst).get(page("change", job)).content.decode()
    assert not AccessRecord.objects.exists()


def test_what_is_hidden_later_hides_the_job_too(cast: Cast, shop: Shop, enter: Enter) -> None:
    job = exported(cast.analyst, subject="segment:app_users")
    assert enter(cast.analyst).get(page("change", job)).status_code == 200
    shop.segment.is_hidden = True
    shop.segment.save()
    for name in ("change", "progress", "file"):
        assert enter(cast.analyst).get(page(name, job)).status_code == 404
    assert enter(cast.operations_manager).get(page("change", job)).status_code == 200
