"""Import by upload: the importer as a job, its rejects, and what is wrong with a file at once."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import translation

from config.clock import real_now
from segmentation.domain.errors import TierwiseError
from segmentation.domain.facts import FACT_KINDS, STORED_REASONS
from segmentation.models import Customer, FactBatch, Job, Order, TagGroup
from segmentation.services.jobs import job_folder
from segmentation.services.reject_words import REASONS, reason_in_words
from segmentation.services.uploads import (
    may_download_rejects,
    request_import,
    safe_file_name,
    template_header,
)
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.exports import done, looker, result_of
from tests.fixtures.sheets import read_csv

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = "order_id,customer_id,placed_at,amount\n"
GOOD = "O1,C1,2026-01-01T10:00:00,5.00\nO2,C2,2026-01-01T10:00:00,6.00\n"
BAD = (
    "O3,C1,2026-13-01,5.00\n=cmd|'x'!A0,C1,2026-01-01T10:00:00,abc\nO5,C1,2026-01-01T10:00:00,-1\n"
)


@pytest.fixture
def cast(settings: Any, tmp_path: Path) -> Cast:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    return make_cast()


def upload(
    cast: Cast, text: str | bytes, *, kind: str = "orders", name: str = "o.csv", **options: Any
) -> Job:
    user = options.pop("user", cast.operations_manager)
    content = text if isinstance(text, bytes) else text.encode()
    return request_import(
        kind,
        file=io.BytesIO(content),
        file_name=name,
        strict=options.pop("strict", False),
        user=user,
        looker=looker(user),
        key=options.pop("form_key", None),
        now=real_now(),
        project_now=real_now(),
    )


def test_facts_are_recorded_as_the_persons_act(cast: Cast) -> None:
    job = done(upload(cast, HEADER + GOOD, name="Orders 一月.csv"))
    assert (job.status, job.error) == (Job.Status.DONE, None)
    assert job.result["counts"] == {
        "read": 2, "inserted": 2, "unchanged": 0, "updated": 0, "rejected": 0,
    }  # fmt: skip
    assert job.result["reasons"] == {}
    assert job.result_file == ""
    batch = FactBatch.objects.get(kind="orders")
    assert (batch.source, batch.actor, batch.file_name) == (
        "admin", "operations_manager", "Orders 一月.csv",
    )  # fmt: skip
    assert batch.pk in job.result["batches"]
    assert Order.objects.count() == 2
    assert not (job_folder(job.pk) / "input").exists()  # personal data is not kept twice


def test_three_bad_rows_come_back_with_line_and_reason(cast: Cast) -> None:
    job = done(upload(cast, HEADER + GOOD + BAD))
    assert job.result["counts"]["rejected"] == 3
    assert job.result["reasons"] == {"bad_time": 1, "bad_number": 1, "negative": 1}
    assert job.result_file == "rejects-o.csv"
    rejects = read_csv(result_of(job))
    assert rejects.titles == ["line", "reason_code", "reason", "raw"]
    assert rejects.column("line") == ["4", "5", "6"]
    assert rejects.column("reason")[2] == "amount: Amounts are not negative."
    assert rejects.column("raw")[1] == "'=cmd|'x'!A0,C1,2026-01-01T10:00:00,abc"
    assert Order.objects.count() == 2


def test_the_reasons_are_in_the_persons_language(cast: Cast) -> None:
    with translation.override("zh-hans"):
        job = upload(cast, HEADER + BAD)
    assert job.language == "zh-hans"
    rejects = read_csv(result_of(done(job)))
    with translation.override("zh-hans"):
        assert rejects.column("reason")[2] == f"amount：{REASONS['negative']}"
    assert rejects.column("reason_code") == ["bad_time", "bad_number", "negative"]


def test_a_wrong_header_names_all_problems_and_records_nothing(cast: Cast) -> None:
    job = done(upload(cast, "order_id,customer_id,placed,amount,amount\nO1,C1,x,1,1\n"))
    assert job.status == Job.Status.FAILED
    assert job.error is not None
    assert [(row["path"], row["code"]) for row in job.error["details"]] == [
        ("/columns/placed", "unknown_column"),
        ("/columns/amount", "duplicate_column"),
        ("/columns/placed_at", "missing_column"),
    ]
    assert (Order.objects.count(), FactBatch.objects.count()) == (0, 0)
    assert not (job_folder(job.pk) / "input").exists()


def test_packed_and_strict(cast: Cast) -> None:
    packed = gzip.compress((HEADER + GOOD).encode())
    job = done(upload(cast, packed, name="o.csv.gz", strict=True))
    assert job.result["reasons"] == {"unknown_customer": 2}
    assert not Customer.objects.exists()


def test_the_same_file_again_changes_nothing(cast: Cast) -> None:
    done(upload(cast, HEADER + GOOD))
    job = done(upload(cast, HEADER + GOOD))
    assert (job.result["counts"]["unchanged"], job.result["batches"]) == (2, [])
    assert FactBatch.objects.filter(kind="orders").count() == 1


def test_a_double_click_is_one_job(cast: Cast) -> None:
    first = upload(cast, HEADER + GOOD, form_key="k")
    assert upload(cast, HEADER + GOOD, form_key="k").pk == first.pk
    assert Job.objects.count() == 1


def test_an_attempt_that_died_behind_its_commit_is_not_repeated(cast: Cast) -> None:
    """The result was written with the facts: the next attempt finds it, counts and all."""
    job = done(upload(cast, HEADER + GOOD + BAD))
    before = job.result
    Job.objects.filter(pk=job.pk).update(status=Job.Status.QUEUED, result_file="")
    result_of(job).unlink()
    again = done(Job.objects.get(pk=job.pk))
    assert (again.status, again.result) == (Job.Status.DONE, before)
    assert read_csv(result_of(again)).column("line") == ["4", "5", "6"]
    assert FactBatch.objects.filter(kind="orders").count() == 1


def test_the_right_is_needed_and_checked_again(cast: Cast) -> None:
    with pytest.raises(TierwiseError) as refused:
        upload(cast, HEADER + GOOD, user=cast.analyst)
    assert refused.value.code == "forbidden"
    job = upload(cast, HEADER + GOOD)
    right = Permission.objects.get(codename="import_facts")
    cast.operations_manager.groups.get().permissions.remove(right)
    job = done(job)
    assert job.error is not None
    assert job.error["code"] == "forbidden"
    assert not Order.objects.exists()


def test_whose_rejects_they_are(cast: Cast) -> None:
    """Rows as sent can name people: others need the right to personal data."""
    job = done(upload(cast, HEADER + BAD, user=cast.integration))
    assert may_download_rejects(job, user=cast.integration)
    assert may_download_rejects(job, user=cast.operations_manager)
    assert not may_download_rejects(job, user=cast.auditor)
    own = done(upload(cast, HEADER + BAD))
    assert not may_download_rejects(own, user=cast.integration)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("orders.csv", "orders.csv"),
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\data\\o.CSV.gz", "o.CSV.gz"),
        ("a\x00b\n.csv", "ab.csv"),
        (".csv", "file.csv"),
        ("x" * 300 + ".parquet", "x" * 142 + ".parquet"),
    ],
)
def test_file_names_are_made_safe(cast: Cast, name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


def test_another_ending_is_refused_at_once(cast: Cast) -> None:
    with pytest.raises(TierwiseError) as refused:
        upload(cast, b"PK", name="orders.xlsx")
    assert refused.value.code == "unknown_format"
    assert not Job.objects.exists()


def test_templates_have_every_column(cast: Cast) -> None:
    for key, document in (("city", {"values": ["a"]}), ("rule", {"rules": [{}]})):
        TagGroup.objects.create(key=key, label_en=key, label_zh_hans=key, document=document)
    for kind, fact in FACT_KINDS.items():
        columns = [column.name for column in fact.columns]
        tags = ["tag:city"] if kind == "customers" else []
        assert template_header(kind) == columns + tags


def test_every_reason_of_stored_facts_has_words(cast: Cast) -> None:
    assert set(STORED_REASONS) <= set(REASONS)
    assert reason_in_words("negative", "amount: x") == "amount: x"  # English says what it found
    with translation.override("zh-hans"):
        assert (
            reason_in_words("news", "a reason of a later release") == "a reason of a later release"
        )
        assert reason_in_words("missing", "order_id is required.").startswith("order_id：")
        assert reason_in_words("unknown_column", "orders have no column 'x'.").startswith("x：")
        assert not reason_in_words("over_refund", "More than what is left.").startswith("More")
