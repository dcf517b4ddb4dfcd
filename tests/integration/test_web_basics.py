"""Health, figures, and the headers every page carries."""

from __future__ import annotations

import pytest
from django.test import Client

from config.clock import real_now
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
