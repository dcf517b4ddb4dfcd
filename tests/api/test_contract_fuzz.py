"""Schemathesis over every operation: no answer outside the document, none that is a server error.

Deterministic and bounded. The API answers in this process, to a key that may do everything, over
a shop with a real run; what an example changes, the next one finds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config.wsgi import application
from segmentation.models.access import SCOPES
from segmentation.services.api_keys import create_api_key

from .shops import make_running_shop

EXAMPLES = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What the strategies would hardly hit by themselves.
KNOWN = {"customer_id": "C0", "key": "spenders", "run": None, "receipt": None}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_documented(mode: Any, settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)
    settings.API_THROTTLE_RATE = "1000000/minute"
    run = make_running_shop(customers=3, copies=1)
    headers = {"Authorization": f"Bearer {create_api_key('fuzz', scopes=SCOPES).key}"}
    document = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
    asked = 0
    for found in document.include(path_regex="^/api/v1/").get_all_operations():
        operation = found.ok()
        asked += 1
        try:
            _fuzz(operation, mode=mode, headers=headers, run=run.pk)
        except Exception as error:
            error.add_note(f"{operation.method} {operation.path}")
            raise
    assert asked == 24


def _fuzz(operation: Any, *, mode: Any, headers: dict[str, str], run: int) -> None:
    known = {**KNOWN, "run": run}
    answered = []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        case.headers = {**(case.headers or {}), **headers}  # not an invented key
        response = case.call_and_validate(checks=CHECKS)
        answered.append(response.status_code)
        for name, value in known.items():
            if value is not None and name in (case.path_parameters or {}):
                case.path_parameters[name] = value
                response = case.call_and_validate(checks=CHECKS)
                answered.append(response.status_code)

    ask()
    assert len(answered) >= 1
