"""The example client of the documentation against the server as it runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from config.clock import real_now
from membership.services.recompute import execute_next_run
from segmentation.api.throttling import ApiKeyThrottle
from segmentation.models import Job, Objection, Run
from segmentation.models.access import SCOPES
from segmentation.services.api_keys import create_api_key
from segmentation.services.jobs import execute_job
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db(transaction=True)
FILE = Path(__file__).parents[2] / "docs" / "client" / "tierwise_client.py"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tierwise_client", FILE)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules["tierwise_client"] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def client(live_server: LiveServer, module: ModuleType, settings: Any, tmp_path: Path) -> Any:
    settings.VAR_DIR = str(tmp_path)
    World().apply(CLUB)
    key = create_api_key("client", scopes=SCOPES).key
    return module.Tierwise(live_server.url, key=key, patience=0)


def test_a_day_of_a_connected_system(client: Any, module: ModuleType) -> None:
    def order(number: int, customer: str, amount: str) -> dict[str, str]:
        return {"order_id": f"O{number}", "customer_id": customer, "amount": amount,
                "placed_at": "2026-01-20T10:00:00+08:00"}  # fmt: skip

    rows = [order(1, "C/1", "1200"), order(2, "C2", "20"), {**order(3, "C3", "1"), "amount": "-1"}]
    results = list(client.send_facts("orders", rows))
    assert [(row.index, row.id, row.status) for row in results] == [
        (0, "O1", "inserted"), (1, "O2", "inserted"), (2, "O3", "rejected"),
    ]  # fmt: skip
    assert results[2].code == "negative"
    number = client.start_run(as_of="2026-02-01", key="night-1")
    assert client.start_run(as_of="2026-02-01", key="night-1") == number
    assert client.run(number)["status"] == "queued"
    done = execute_next_run(clock=real_now)
    assert done is not None
    assert done.pk == number
    assert client.run(number)["segments"] == {"others": 1, "spenders": 1}
    assert list(client.members("spenders")) == ["C/1"]
    assert list(client.members("others", part="entered")) == ["C2"]
    (change,) = client.transitions()
    assert (change.customer_id, change.kind, change.to_tier) == ("C/1", "entry", "gold")
    assert list(client.transitions(since=change.id)) == []
    assert list(client.transitions(since="2026-02-01")) == [change]
    assert [program["key"] for program in client.programs()] == ["club"]
    assert client.customer("C/1")["memberships"][0]["tier"] == "gold"
    assert client.memberships("C/1")[0]["tier"] == "gold"
    assert client.customer("nobody") is None
    assert client.object_to_decisions("C2")["status"] == "done"
    assert Objection.objects.filter(customer__external_id="C2").exists()
    assert list(client.members("others")) == []
    receipt = client.erase("C/1")
    execute_job(Job.objects.get(), clock=real_now)
    assert client.receipt(receipt["receipt"])["status"] == "done"
    assert client.customer("C/1") is None
    assert Run.objects.count() == 1


def test_pages_are_followed(client: Any, module: ModuleType, monkeypatch: Any) -> None:
    rows = [
        {"order_id": f"O{number}", "customer_id": f"C{number}", "amount": "200",
         "placed_at": "2026-01-20T10:00:00+08:00"}
        for number in range(7)
    ]  # fmt: skip
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    results = list(client.send_facts("orders", rows))
    assert [row.index for row in results] == list(range(7))
    World().run("2026-02-01")
    monkeypatch.setattr("segmentation.api.parameters.LARGEST_LIMIT", 3)
    assert list(client.members("spenders")) == [f"C{number}" for number in range(7)]
    assert len(list(client.transitions())) == 7


def test_errors_are_told(client: Any, module: ModuleType, live_server: LiveServer) -> None:
    with pytest.raises(module.ApiError) as caught:
        client.start_run(as_of="yesterday")
    assert (caught.value.status, caught.value.code) == (422, "invalid")
    assert [problem["path"] for problem in caught.value.details] == ["/as_of"]
    stranger = module.Tierwise(live_server.url, key="no.key")
    with pytest.raises(module.ApiError) as caught:
        stranger.customer("C1")
    assert (caught.value.status, caught.value.code) == (401, "not_authenticated")
    with pytest.raises(ValueError, match="no address"):
        module.Tierwise("file:///etc/passwd", key="x")


def test_a_throttled_request_waits(
    client: Any, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the answer says, and no longer than its patience."""
    refusals = 2
    waits: list[float] = []

    def allow(throttle: ApiKeyThrottle, request: object, view: object) -> bool:
        nonlocal refusals
        refusals -= 1
        return refusals < 0

    monkeypatch.setattr(ApiKeyThrottle, "allow_request", allow)
    monkeypatch.setattr(ApiKeyThrottle, "wait", lambda throttle: 7)
    clock = SimpleNamespace(monotonic=lambda: sum(waits), sleep=waits.append)
    monkeypatch.setattr(module, "time", clock)
    client._patience = 14
    assert client.customer("nobody") is None
    assert waits == [7, 7]
    refusals = 3
    with pytest.raises(module.ApiError) as caught:
        client.customer("nobody")
    assert (caught.value.status, caught.value.code) == (429, "throttled")
    assert waits == [7, 7, 7, 7]
