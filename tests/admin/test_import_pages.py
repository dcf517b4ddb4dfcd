"""Pages of imports: uploading a file, what came of it, and data quality."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from segmentation.models import FactBatch, Job
from segmentation.services.jobs import job_folder
from tests.fixtures.cast import Cast
from tests.fixtures.sample import Shop

from .job_rows import finished, page, with_file

Enter = Callable[..., Client]
UPLOAD = "admin:segmentation_factbatch_upload"
QUALITY = "admin:segmentation_factbatch_quality"


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def send(client: Client, content: bytes, *, name: str = "o.csv", **more: Any) -> Any:
    key = client.get(reverse(UPLOAD)).context["form"].initial["key"]
    given = {"kind": "orders", "key": key, "file": SimpleUploadedFile(name, content), **more}
    return client.post(reverse(UPLOAD), given)


def test_an_upload_becomes_a_job_once(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    key = client.get(reverse(UPLOAD)).context["form"].initial["key"]
    places = {
        send(client, b"order_id\n", key=key, strict="on").headers["Location"] for _ in range(2)
    }
    job = Job.objects.get()
    assert places == {page("change", job)}
    assert (job.kind, job.subject, job.parameters["strict"]) == ("import", "file:o.csv", True)
    assert (job_folder(job.pk) / "input").read_bytes() == b"order_id\n"


def test_a_file_of_another_kind_is_refused_in_the_form(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    response = send(enter(cast.operations_manager), b"PK", name="o.xlsx")
    assert response.context["form"].errors["file"] == ["Files end in .csv, .csv.gz or .parquet."]
    assert not Job.objects.exists()


def test_importing_needs_its_right(cast: Cast, shop: Shop, enter: Enter) -> None:
    template = reverse("admin:segmentation_factbatch_template", args=["orders"])
    for person in (cast.analyst, cast.auditor, cast.store_manager, cast.stranger):
        client = enter(person)
        assert client.get(reverse(UPLOAD)).status_code == 403
        assert client.post(reverse(UPLOAD), {"kind": "orders"}).status_code == 403
        assert client.get(template).status_code == 403
    assert enter(cast.integration).get(reverse(UPLOAD)).status_code == 200
    assert not Job.objects.exists()


def test_templates_are_csv_files_that_spreadsheets_open(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    response = client.get(reverse("admin:segmentation_factbatch_template", args=["referrals"]))
    assert response.content.decode("utf-8-sig") == (
        "referral_id,referrer_id,referee_id,occurred_at\r\n"
    )
    missing = reverse("admin:segmentation_factbatch_template", args=["nothing"])
    assert client.get(missing).status_code == 404


def test_imports_link_the_job_they_came_by(cast: Cast, shop: Shop, enter: Enter) -> None:
    job = finished("import", user=cast.operations_manager, parameters={"kind": "orders"})
    batch = FactBatch.objects.create(
        kind="orders", source="admin", actor="operations_manager", recorded_at=job.started_at,
        read=3, rejected=1,
    )  # fmt: skip
    Job.objects.update(result={"batches": [batch.pk], "counts": {"rejected": 1}})
    link = page("change", job)
    for address in (
        reverse("admin:segmentation_factbatch_changelist"),
        reverse("admin:segmentation_factbatch_change", args=[batch.pk]),
    ):
        assert link in enter(cast.operations_manager).get(address).content.decode()
        assert link not in enter(cast.analyst).get(address).content.decode()  # not the own job


def test_an_import_without_an_upload_says_where_the_reasons_are(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    """Reasons are kept for uploads alone; the page promises nothing else."""
    for source, words in (("import", "--rejects"), ("api", "The answer to the call")):
        batch = FactBatch.objects.create(
            kind="orders", source=source, actor="operator", recorded_at=real_now(), read=3,
            rejected=1,
        )  # fmt: skip
        address = reverse("admin:segmentation_factbatch_change", args=[batch.pk])
        text = enter(cast.operations_manager).get(address).content.decode()
        assert words in text
        assert "Not kept here" in text
    FactBatch.objects.update(rejected=0)
    assert "Not kept here" not in enter(cast.operations_manager).get(address).content.decode()


def test_rejects_on_the_page_of_the_job(cast: Cast, shop: Shop, enter: Enter) -> None:
    job = with_file(finished(
        "import", user=cast.operations_manager, parameters={"kind": "customers"},
        result={"kind": "customers", "counts": {"read": 2, "rejected": 1}, "batches": [],
                "reasons": {"bad_date": 1}}, result_file="rejects-c.csv",
    ))  # fmt: skip
    (job_folder(job.pk) / "rejects.csv").write_text(
        'line,reason_code,reason,raw\n3,bad_date,birth_date: Write a date.,"C9,13912345678"\n'
    )
    text = enter(cast.operations_manager).get(page("change", job)).content.decode()
    assert "birth_date: Write a date." in text
    assert "13912345678" in text
    # The auditor sees the job, not the rows: they can name people.
    other = enter(cast.auditor)
    assert "13912345678" not in other.get(page("change", job)).content.decode()
    assert other.get(page("file", job)).status_code == 403


def test_data_quality_shows_the_report_and_makes_a_new_one(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    from segmentation.services.jobs import execute_next_job

    client = enter(cast.analyst)
    assert "No report was made yet." in client.get(reverse(QUALITY)).content.decode()
    for _click in range(2):
        client.post(reverse(f"{QUALITY}_refresh"), {"key": "one form"})
    waiting = client.get(reverse(f"{QUALITY}_waiting"))
    assert "A new report is being worked out." in waiting.content.decode()
    assert Job.objects.count() == 1
    execute_next_job(clock=real_now)
    assert client.get(reverse(f"{QUALITY}_waiting")).headers["HX-Refresh"] == "true"
    response = client.get(reverse(QUALITY))
    titles = [str(table.title) for table in response.context["page"].tables]
    assert titles == [
        "Rows by day and source", "Late facts", "Orders and customers", "Missing values",
        "Possible duplicates", "Rejected rows", "Rejected rows by reason",
    ]  # fmt: skip
    for person in (cast.store_manager, cast.support_agent, cast.stranger):
        other = enter(person)
        assert other.get(reverse(QUALITY)).status_code == 403
        assert other.post(reverse(f"{QUALITY}_refresh"), {"key": "x"}).status_code == 403
    assert Job.objects.count() == 1
