"""Every error is `{code, message, details}` with the right status and nothing more than that."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from segmentation.api.throttling import ApiKeyThrottle, parse_rate
from segmentation.models import ApiKey
from segmentation.services.api_keys import create_api_key, revoke_api_key

from .conftest import Caller

pytestmark = pytest.mark.urls("tests.api.probe_urls")
PROBE = "/api/v1/probe"


def refused(response: Any, status: int, code: str, details: list[Any] | None = None) -> str:
    """The message, after checking the whole shape."""
    body = response.json()
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    assert list(body) == ["code", "message", "details"]
    assert body["code"] == code
    assert body["details"] == (details or [])
    message: str = body["message"]
    assert message
    return message


def test_a_key_with_the_scope_gets_in(caller: Caller) -> None:
    response = caller("runs:read").get(PROBE)
    assert (response.status_code, response.json()) == (200, {"ok": True})


@pytest.mark.parametrize(
    "header",
    [
        None, "Bearer", "Bearer ", "Bearer wrong", "Bearer wrong.wrong", "Bearer \xff.x",
        "Basic eDp5", "Bearer a b", "Bearer a\x00.b",
    ],
)  # fmt: skip
def test_without_a_key_nobody_gets_in(caller: Caller, header: str | None) -> None:
    client = caller()
    if header is not None:
        client.credentials(HTTP_AUTHORIZATION=header)
    response = client.get(PROBE)
    refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_prefix_with_another_secret_is_not_the_key(caller: Caller) -> None:
    key = create_api_key("app", scopes=["runs:read"]).key
    client = caller()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key[:-1]}{'a' if key[-1] != 'a' else 'b'}")
    refused(client.get(PROBE), 401, "not_authenticated")
    client.credentials(HTTP_AUTHORIZATION=f"bearer {key}")
    assert client.get(PROBE).status_code == 200


def test_a_revoked_key_is_no_key(caller: Caller) -> None:
    key = create_api_key("app", scopes=["runs:read"]).key
    client = caller()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert client.get(PROBE).status_code == 200
    revoke_api_key("app")
    refused(client.get(PROBE), 401, "not_authenticated")


@pytest.mark.parametrize(("seconds", "status"), [(3600, 200), (-1, 401)])
def test_an_expired_key_is_no_key(caller: Caller, seconds: int, status: int) -> None:
    expires_at = timezone.now() + timedelta(seconds=seconds)
    key = create_api_key("app", scopes=["runs:read"], expires_at=expires_at).key
    client = caller()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert client.get(PROBE).status_code == status


def test_the_answer_does_not_tell_why_a_key_is_refused(caller: Caller) -> None:
    key = create_api_key("app", scopes=["runs:read"]).key
    revoke_api_key("app")
    answers = set()
    for sent in (key, "never.existed"):
        client = caller()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {sent}")
        answers.add(client.get(PROBE).content)
    assert len(answers) == 1


def test_a_key_without_the_scope_is_told_which(caller: Caller) -> None:
    response = caller("runs:write", "facts:write").get(PROBE)
    message = refused(response, 403, "permission_denied")
    assert message == "This key lacks the scope runs:read."


def test_a_view_without_a_scope_lets_nobody_in(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    refused(caller("runs:read").get("/api/v1/unscoped"), 500, "internal_error")
    assert "names no scope" in caplog.text


def test_an_unknown_address_is_a_document_too(caller: Caller) -> None:
    refused(caller().get("/api/v1/nothing/here"), 404, "not_found")
    refused(caller("runs:read").post("/api/"), 404, "not_found")


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_wrong_method(caller: Caller, method: str) -> None:
    response = getattr(caller("runs:read"), method)(PROBE)
    refused(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_only_json_is_understood(caller: Caller) -> None:
    client = caller("runs:read")
    response = client.post(PROBE, "a,b", content_type="text/csv")
    refused(response, 415, "unsupported_media_type")
    refused(client.get(PROBE, headers={"accept": "text/csv"}), 406, "not_acceptable")


@pytest.mark.parametrize(
    "body",
    [
        "{", "", "nonsense", '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}',
        '{"a": 1, "a": 2}', '{"a": 1e999999999}', '{"a": 1e-999999999}', "1" * 5000,
        "[" * 100_000, b'{"a": "\xff"}', '{"a": "\\ud800"}',
        '{"\\uDFff": 1}', '["\\udead\\ud83d"]',
    ],
)  # fmt: skip
def test_what_is_no_json(caller: Caller, body: str | bytes) -> None:
    client = caller("runs:read")
    response = client.post(PROBE, body or " ", content_type="application/json")
    refused(response, 400, "malformed")


def test_numbers_lose_no_digit(caller: Caller) -> None:
    body = '{"a": 0.1000000000000000055, "b": 12345678901234567890, "c": 1.10}'
    response = caller("runs:read").post(PROBE, body, content_type="application/json")
    assert response.json()["repr"] == (
        "{'a': Decimal('0.1000000000000000055'), 'b': 12345678901234567890, 'c': Decimal('1.10')}"
    )


def test_characters_outside_the_basic_plane_pass(caller: Caller) -> None:
    response = caller("runs:read").post(PROBE, '"\\ud83d\\ude00"', content_type="application/json")
    assert response.json()["repr"] == "'😀'"


def test_a_body_that_is_too_large(caller: Caller, settings: Settings) -> None:
    settings.API_MAX_BODY_BYTES = 10
    client = caller("runs:read")
    assert client.post(PROBE, '"23456789"', content_type="application/json").status_code == 200
    response = client.post(PROBE, '"234567890"', content_type="application/json")
    assert refused(response, 413, "too_large") == "Send at most 10 bytes at a time."


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        ("http404", 404, "not_found"),
        ("not_found", 404, "not_found"),
        ("denied", 403, "permission_denied"),
        ("suspicious", 400, "malformed"),
        ("later", 501, "not_available"),
    ],
)
def test_known_failures_keep_their_secrets(
    caller: Caller, failure: str, status: int, code: str
) -> None:
    message = refused(caller("runs:read").get(PROBE, {"fail": failure}), status, code)
    assert "secret" not in message


def test_all_problems_come_at_once(caller: Caller) -> None:
    client = caller("runs:read")
    detail = {"path": "/a", "code": "x", "message": "y"}
    refused(client.get(PROBE, {"fail": "invalid"}), 422, "invalid", [detail, detail])
    refused(
        client.get(PROBE, {"fail": "fields"}),
        422,
        "invalid",
        [
            {"path": "/a~1b", "code": "invalid", "message": "Bad."},
            {"path": "/a~1b", "code": "invalid", "message": "Worse."},
            {"path": "/rows/2/sku", "code": "invalid", "message": "Empty."},
        ],
    )


def test_an_unknown_failure_is_neutral_outside_and_whole_in_the_log(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        response = caller("runs:read").get(PROBE, {"fail": "crash"})
    refused(response, 500, "internal_error")
    assert b"hunter2" not in response.content
    assert "hunter2" in caplog.text


def test_throttled_requests_are_told_when_to_come_back(
    caller: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_THROTTLE_RATE = "2/minute"
    clock = [1_000_000_005.25]  # 44.75 seconds before the minute ends
    monkeypatch.setattr("segmentation.api.throttling.time.time", lambda: clock[0])
    first, second = caller("runs:read"), caller("runs:read", "runs:write")
    assert [first.get(PROBE).status_code for _ in range(2)] == [200, 200]
    response = first.get(PROBE)
    assert refused(response, 429, "throttled") == "Too many requests. Try again in 15 seconds."
    assert response["Retry-After"] == "15"
    assert second.get(PROBE).status_code == 200  # each key counts for itself
    clock[0] += 14.74
    assert first.get(PROBE)["Retry-After"] == "1"
    clock[0] += 0.01
    assert first.get(PROBE).status_code == 200


@pytest.mark.parametrize("rate", ["", "5", "0/minute", "-1/minute", "5/year", "x/minute"])
def test_a_wrong_rate_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(rate)
    assert parse_rate("600/minute") == (600, 60)


def test_strangers_are_not_counted(caller: Caller) -> None:
    assert ApiKey.objects.count() == 0
    assert ApiKeyThrottle().wait() is None


def test_errors_speak_the_language_asked_for(caller: Caller) -> None:
    client: APIClient = caller("runs:write")
    response = client.get(PROBE, headers={"accept-language": "zh-CN"})
    refused(response, 403, "permission_denied")
    assert response["Content-Language"] == "zh-hans"
