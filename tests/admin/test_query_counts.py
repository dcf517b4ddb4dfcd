"""Committed numbers of queries per page; the same with three times the rows (no N+1).

After a wanted change: `UPDATE_QUERY_COUNTS=1 pytest tests/admin/test_query_counts.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pghistory
import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from membership.models import AlertRule
from tests.fixtures.alerts import make_alerts
from tests.fixtures.cast import Cast
from tests.fixtures.held import make_promotions
from tests.fixtures.sample import add_desk, make_shop

from .pages import addresses_of, routes

BASELINE = Path(__file__).with_name("query_counts.json")
# The theme's and the packages' own; and the ones that end the session or leave the admin.
_OTHERS = ("auth_", "axes_", "django_celery_beat_", "second_factor", "password_", "jsi18n", "login")


def _measure(client: Client) -> dict[str, int]:
    """Queries of each page, with its first object; addresses that are no page to read are left
    out."""
    ContentType.objects.get_for_models(*admin.site._registry)  # a process reads them once
    found: dict[str, int] = {}
    for route in routes():
        name = route.name or ""
        if name.startswith(_OTHERS):
            continue
        for address in addresses_of(route)[:1]:
            with CaptureQueriesContext(connection) as queries:
                response = client.get(address)
            if response.status_code == 200:
                found[name] = len(queries)
    return found


@pytest.mark.parametrize("times", [1, 3])
def test_queries_per_page(cast: Cast, enter: Callable[..., Client], times: int) -> None:
    AlertRule.objects.all().delete()  # the migration's: a test that flushed took them away
    with pghistory.context(actor="fixture"):
        make_shop(customers=3 * times, definitions=2 * times)
        add_desk(cast.operations_manager)
        make_alerts(copies=times)
        make_promotions(copies=times)
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
