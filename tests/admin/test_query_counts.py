"""Committed numbers of queries per page; the same with three times the rows (no N+1).

After a wanted change: `UPDATE_QUERY_COUNTS=1 pytest tests/admin/test_query_counts.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.fixtures.cast import Cast
from tests.fixtures.sample import make_shop

BASELINE = Path(__file__).with_name("query_counts.json")
OURS = ("segmentation", "membership")


def _measure(client: Client) -> dict[str, int]:
    ContentType.objects.get_for_models(*admin.site._registry)  # a process reads them once
    found = {"home": _count(client, reverse("admin:index"))}
    for model in admin.site._registry:
        if model._meta.app_label not in OURS:
            continue
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        found[f"{name} list"] = _count(client, reverse(f"admin:{name}_changelist"))
        row = model._default_manager.order_by("pk").first()
        if row is not None:
            address = reverse(f"admin:{name}_change", args=[quote(row.pk)])
            found[f"{name} page"] = _count(client, address)
    return found


def _count(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        response = client.get(address)
    assert response.status_code == 200, address
    return len(queries)


@pytest.mark.parametrize("times", [1, 3])
def test_queries_per_page(cast: Cast, enter: Callable[..., Client], times: int) -> None:
    make_shop(customers=3 * times, definitions=2 * times)
    found = _measure(enter(User.objects.create_superuser("boss")))
    if times == 1 and os.environ.get("UPDATE_QUERY_COUNTS"):
        BASELINE.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(BASELINE.read_text())


def test_big_tables_are_never_counted(cast: Cast, enter: Callable[..., Client]) -> None:
    make_shop(customers=3)
    client = enter(cast.operations_manager)
    for name in ("segmentation_customer", "segmentation_order", "segmentation_orderline",
                 "segmentation_refund", "segmentation_event", "segmentation_customertag",
                 "segmentation_factbatch", "membership_membership",
                 "membership_transition"):  # fmt: skip
        for query in ("", "?_facets=True"):  # Django's switch for numbers beside the filters
            with CaptureQueriesContext(connection) as queries:
                client.get(reverse(f"admin:{name}_changelist") + query)
            texts = [sent["sql"] for sent in queries]
            assert not [sql for sql in texts if "COUNT(" in sql.upper()], (name, query)
            assert not [sql for sql in texts if " OFFSET " in sql.upper()], (name, query)
