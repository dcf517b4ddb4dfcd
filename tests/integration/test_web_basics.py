"""Health, figures, and the headers every page carries."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory

from config.clock import real_now
from config.security import UnstorableInput
from segmentation.models import Installation


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
    assert 'tierwise_runs{status="published"} 0.0' in found.content.decode()


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
