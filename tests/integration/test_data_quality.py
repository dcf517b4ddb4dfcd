"""The data-quality report: what it counts, on facts made for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from config.clock import real_now
from segmentation.domain.errors import TierwiseError
from segmentation.models import FactBatch, Job
from segmentation.services.data_quality import (
    newest_report,
    report_under_way,
    request_quality_report,
)
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.exports import done, looker
from tests.fixtures.world import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(settings: Any, tmp_path: Path) -> Cast:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    return make_cast()


def ask(cast: Cast, *, project_now: datetime | None = None) -> Job:
    user = cast.operations_manager
    return request_quality_report(
        user=user,
        looker=looker(user),
        key=None,
        now=real_now(),
        project_now=project_now or real_now(),
    )


def ago(**time: int) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def test_the_report_counts_what_is_there(cast: Cast) -> None:
    world = World()
    world.record("customers", {"customer_id": "anna", "phone": "139", "city": "Hangzhou"})
    world.order("anna", ago(hours=1), "10.00", channel="app")
    world.order("anna", at := ago(days=3), "20.00")
    world.order("anna", at, "20.00")
    world.order("stranger", ago(days=200), "30.00")  # known by ID only; before the interval
    world.order("stranger", ago(days=5), "0")
    world.record("order_lines", {"order_id": "O1", "line_no": 1, "sku": "S", "amount": "10.00"})
    report = done(ask(cast)).result
    assert [day["source"] for day in report["days"]] == ["api"]
    assert report["days"][0]["rows"] == 8  # 5 orders, 1 line, 1 customer and the stub
    late = {entry["kind"]: entry for entry in report["late"]}
    assert (late["orders"]["recorded"], late["orders"]["late"]) == (5, 4)
    assert late["orders"]["longest_days"] == 200
    assert late["events"] == {"kind": "events", "recorded": 0, "late": 0, "longest_days": None}
    assert report["orders"] == {"orders": 4, "of_stubs": 1, "without_lines": 3, "free": 1}
    assert report["customers"] == {"customers": 2, "stubs": 1}
    missing = {(entry["kind"], entry["field"]): entry for entry in report["missing"]}
    assert (missing["customers", "phone"]["missing"], missing["customers", "phone"]["rows"]) == (
        1,
        2,
    )
    assert (missing["orders", "channel"]["missing"], missing["orders", "channel"]["rows"]) == (3, 4)
    assert missing["order_lines", "category"]["missing"] == 1
    duplicates = report["duplicates"]
    assert (duplicates["groups"], duplicates["extra"], duplicates["amount"]) == (1, 1, "20.0000")
    assert [(row["customer"], row["times"], row["first"], row["last"])
            for row in duplicates["sample"]] == [("anna", 2, "O2", "O3")]  # fmt: skip
    assert report["rejected"] == {"by_kind": [], "by_reason": []}


def test_rejects_by_kind_source_and_reason(cast: Cast) -> None:
    now = real_now()
    for source, read, rejected, age in (
        ("api", 10, 2, 1), ("api", 20, 0, 3), ("import", 5, 1, 2), ("api", 9, 9, 40),
    ):  # fmt: skip
        FactBatch.objects.create(
            kind="orders", source=source, actor="x", recorded_at=now - timedelta(days=age),
            read=read, rejected=rejected, inserted=read - rejected,
        )  # fmt: skip
    for reasons, age in (({"bad_time": 2, "negative": 1}, 1), ({"bad_time": 5}, 1), ({"x": 1}, 50)):
        Job.objects.create(
            kind="import", actor="x", status="done", requested_at=now,
            finished_at=now - timedelta(days=age), parameters={"kind": "orders"},
            result={"reasons": reasons},
        )  # fmt: skip
    found = done(ask(cast)).result["rejected"]
    assert found["by_kind"] == [
        {"kind": "orders", "source": "api", "read": 30, "rejected": 2},
        {"kind": "orders", "source": "import", "read": 5, "rejected": 1},
    ]
    assert found["by_reason"] == [
        {"kind": "orders", "reason": "bad_time", "rows": 7},
        {"kind": "orders", "reason": "negative", "rows": 1},
    ]


def test_the_newest_finished_job_is_the_report(cast: Cast) -> None:
    assert newest_report() is None
    first = done(ask(cast))
    second = ask(cast)
    assert newest_report() == first  # shown until the next one is there
    assert report_under_way() == second
    assert ask(cast).pk == second.pk  # asked for once while it is under way
    done(second)
    assert newest_report() == second
    assert report_under_way() is None


def test_who_sees_some_stores_only_has_no_report(cast: Cast) -> None:
    for person in (cast.store_manager, cast.support_agent, cast.stranger):
        with pytest.raises(TierwiseError) as refused:
            request_quality_report(
                user=person, looker=looker(person), key=None, now=real_now(), project_now=real_now()
            )
        assert refused.value.code == "forbidden"
    assert not Job.objects.exists()


def test_a_question_that_takes_too_long_fails_visibly(cast: Cast, monkeypatch: Any) -> None:
    from segmentation.services import data_quality, quality_sql

    monkeypatch.setattr(data_quality, "_LONGEST_QUERY", "20ms")
    monkeypatch.setattr(quality_sql, "STUBS", "SELECT pg_sleep(5), 1")
    job = done(ask(cast))
    assert job.error is not None
    assert (job.status, job.error["code"]) == (Job.Status.FAILED, "too_slow")
    assert connection.is_usable()
