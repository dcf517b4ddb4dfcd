"""Health, figures, and the headers every page carries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory

from config.clock import real_now
from config.security import UnstorableInput
from segmentation.models import FactBatch, Installation, Job, Run


@pytest.mark.django_db
def test_health(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    missing = client.get("/readyz")
    assert missing.status_code == 503
    assert missing.json()["checks"] == {"database": "not set up", "broker": "ok"}
    Installation.objects.update_or_create(
        pk=1,
        defaults={"time_zone": "Asia/Shanghai", "base_currency": "CNY", "set_up_at": real_now()},
    )
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ok", "checks": {"database": "ok", "broker": "ok"}}


@pytest.mark.django_db
def test_metrics_are_prometheus_text(client: Client) -> None:
    found = client.get("/metrics")
    assert found["Content-Type"].startswith("text/plain")
    text = found.content.decode()
    assert 'tierwise_runs{status="published"} 0.0' in text
    assert "tierwise_mirror_lag_seconds 0.0" in text
    assert 'tierwise_queue_age_seconds{kind="run"} 0.0' in text
    assert "\ntierwise_last_run_age_seconds " not in text  # there was none


@pytest.mark.django_db
def test_metrics_tell_how_far_behind_work_is(client: Client) -> None:
    now = real_now()
    FactBatch.objects.create(
        kind="orders", source="api", actor="whisper", recorded_at=now - timedelta(minutes=5)
    )
    for minutes, status, attempts in ((3, "queued", 7), (90, "published", 1)):
        at = now - timedelta(minutes=minutes)
        Run.objects.create(
            as_of=at, status=status, requested_by="whisper", requested_at=at, attempts=attempts,
            finished_at=at if status == "published" else None, memory={"rules": 5, "facts": 7},
        )  # fmt: skip
    Job.objects.create(
        kind="verify_run", actor="whisper", subject="segment:whisper",
        requested_at=now - timedelta(minutes=1),
    )  # fmt: skip
    text = client.get("/metrics").content.decode()
    assert "whisper" not in text
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    for name, least in (
        ("tierwise_mirror_lag_seconds", 300),
        ('tierwise_queue_age_seconds{kind="run"}', 180),
        ('tierwise_queue_age_seconds{kind="verify_run"}', 60),
        ("tierwise_last_run_age_seconds", 5400),
    ):
        assert least <= float(told[name]) < least + 50, name
    assert told["tierwise_run_attempts"] == "7.0"
    assert told["tierwise_run_memory_bytes"] == "7.0"
    assert told['tierwise_jobs{status="queued"}'] == "1.0"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "may_evaluate"),
    [("/admin/login/", True), ("/api/docs/", False), ("/healthz", False), ("/nowhere", False)],
)
def test_only_the_admin_may_evaluate(client: Client, path: str, may_evaluate: bool) -> None:
    policy = client.get(path)["Content-Security-Policy"]
    assert ("'unsafe-eval'" in policy) is may_evaluate
    assert "default-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.django_db
def test_front_page_leads_to_the_admin(client: Client) -> None:
    found = client.get("/")
    assert (found.status_code, found["Location"]) == (302, "/admin/")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "sent", "status"),
    [
        ("SELECT %s::int", "secret-words", 400),
        ("SELECT %s::int", "9" * 30, 400),
        ("SELECT %s::jsonb", '"\\u0000"', 400),
        ("SELECT %s::date", "2026-13-45", 400),
        ("SELECT %s::text", "a\0b", 400),
        ("SELECT %s::text", "a\ud800", 400),
        ("SELECT 1 / %s::int", "0", None),
        ("SELECT %s::text FROM nowhere", "x", None),
        ("SELECT width_bucket(1, 2, 3, %s::int)", "0", None),
    ],
)
def test_only_what_no_column_takes_is_the_senders_fault(
    statement: str, sent: str, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says where it was, and nothing of what was sent."""
    request = RequestFactory().get("/admin/somewhere/")
    refusal = UnstorableInput(lambda _request: HttpResponse())
    with pytest.raises((DatabaseError, UnicodeEncodeError)) as raised, transaction.atomic():
        connection.cursor().execute(statement, [sent])
    answer = refusal.process_exception(request, raised.value)
    assert (answer.status_code if answer is not None else None) == status
    if status is None:
        assert caplog.text == ""
    else:
        assert "GET /admin/somewhere/" in caplog.text
        assert f"{type(raised.value).__name__} " in caplog.text
        assert "test_web_basics.py:" in caplog.text
        assert sent not in caplog.text
