"""docs/api.md: each curl on the page is asked, in order, and answered as the page says.

`…` stands for any text, in a text and as the only key of an object; numbers of rows differ.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rest_framework.test import APIClient

from config.clock import real_now
from membership.services.recompute import execute_next_run
from segmentation.models import Job, Run
from segmentation.models.access import SCOPES
from segmentation.services.api_keys import create_api_key
from segmentation.services.jobs import execute_job
from tests.fixtures.world import World

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLE = re.compile(r"^```sh\n(.*?)^```\n^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW_NUMBERS = ("run", "id")


def definitions() -> dict[str, Any]:
    at_app = {"attr": "channel", "cmp": "eq", "value": "app"}
    spend = {"metric": "net_spend_365d", "cmp": "gte"}
    return {
        "tags": [
            {"group": "taste", "exclusive": True, "public": True, "values": ["sweet", "salty"]}
        ],
        "metrics": [
            {
                "key": "net_spend_365d", "label": {"en": "Net spend", "zh-hans": "有效消费"},
                "source": "orders", "aggregate": {"fn": "sum", "field": "net_amount"},
                "window": {"days": 365, "to_now": True}, "unit": "money",
            }
        ],
        "segments": [
            {"key": "app_users", "purpose": "service", "visibility": "internal", "rule": at_app},
            {"key": "quiet_app_users", "purpose": "service", "visibility": "hidden",
             "rule": {"all": [{"segment": "app_users", "cmp": "member"}]}},
        ],
        "programs": [
            {
                "key": "gold", "label": {"en": "Gold Club", "zh-hans": "金卡会员"},
                "version": {
                    "effective_from": "2017-01-01", "keep_for": {"months": 12},
                    "grace": {"days": 30},
                    "tiers": [
                        {"key": "silver", "rank": 1, "label": {"en": "Silver", "zh-hans": "银卡"},
                         "rule": {**spend, "value": "2000"}},
                        {"key": "gold", "rank": 2, "label": {"en": "Gold", "zh-hans": "金卡"},
                         "rule": {**spend, "value": "10000"}},
                    ],
                },
            }
        ],
    }  # fmt: skip


def ask(command: str, *, key: str, names: dict[str, str]) -> Any:
    """What curl would have got."""
    for name, value in {**names, "KEY": key}.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    method, headers, body, address = "GET", {}, None, ""
    while words:
        match words.pop(0):
            case "-X":
                method = words.pop(0)
            case "-H":
                name, _colon, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                body = words.pop(0)
            case word:
                address = word
    parts = urlsplit(address)
    assert parts.netloc == "127.0.0.1:8000"
    send = getattr(APIClient(), method.lower())
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    content: dict[str, Any] = (
        {} if body is None else {"data": body, "content_type": headers.pop("Content-Type")}
    )
    response = send(path, headers=headers, **content)
    assert response.status_code in (200, 202), (command, response.content)
    return response.json()


def differs(shown: Any, found: Any, *, path: str = "") -> str | None:
    """Where the answer is not what the page shows; None when it is."""
    if isinstance(shown, dict) and isinstance(found, dict):
        if list(shown) == ["…"]:
            return None if found else f"{path}: empty"
        if set(shown) != set(found):
            return f"{path}: {sorted(set(shown) ^ set(found))}"
        return next(filter(None, (
            None if key in ROW_NUMBERS and isinstance(found[key], int)
            else differs(shown[key], found[key], path=f"{path}/{key}") for key in shown
        )), None)  # fmt: skip
    if isinstance(shown, list) and isinstance(found, list) and len(shown) == len(found):
        pairs = enumerate(zip(shown, found, strict=True))
        parts = (differs(a, b, path=f"{path}/{n}") for n, (a, b) in pairs)
        return next(filter(None, parts), None)
    if isinstance(shown, str) and isinstance(found, str):
        if "…" in shown:
            return None if found.startswith(shown.partition("…")[0]) else f"{path}: {found}"
        if path == "/since" and shown.isdigit() and found.isdigit():
            return None
    return None if shown == found else f"{path}: {found!r}"


@pytest.mark.django_db(transaction=True)
def test_each_example_of_the_page(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)
    World().apply(definitions())
    key = create_api_key("documentation", scopes=SCOPES).key
    names: dict[str, str] = {}
    examples = EXAMPLE.findall(PAGE.read_text("utf-8"))
    assert len(examples) == 14
    for command, shown in examples:
        found = ask(command, key=key, names=names)
        assert differs(json.loads(shown), found) is None, (command, found)
        # What a worker does meanwhile.
        while Run.objects.filter(status=Run.Status.QUEUED).exists():
            done = execute_next_run(clock=real_now)
            names["RUN"] = str(done and done.pk)
        for job in Job.objects.filter(status=Job.Status.QUEUED):
            execute_job(job, clock=real_now)
            names["RECEIPT"] = found["receipt"]


def test_every_endpoint_is_on_the_page() -> None:
    page = PAGE.read_text("utf-8")
    document = (PAGE.parent / "openapi.yaml").read_text("utf-8")
    paths = re.findall(r"^  (/api/v1/\S+):$", document, re.MULTILINE)
    assert len(paths) == 23
    for path in paths:
        words = path.replace("{customer_id}", "{id}")
        if not path.endswith("/bulk"):
            assert re.search(rf"`(GET |POST )?{re.escape(words)}`", page), path


def test_a_wrong_example_would_be_found() -> None:
    assert differs({"a": 1, "run": 1}, {"a": 1, "run": 9}) is None
    assert differs({"a": 1}, {"a": 2}) == "/a: 2"
    assert differs({"a": "pr_…"}, {"a": "x"}) == "/a: x"
    assert differs({"a": [1]}, {"a": [1, 2]}) == "/a: [1, 2]"
    assert differs({"a": None}, {"b": None}) == ": ['a', 'b']"
