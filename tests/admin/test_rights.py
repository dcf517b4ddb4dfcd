"""Sending a form without the right changes nothing, whatever the form: every address of the admin.

The addresses come from the resolver. BODIES holds forms that work for somebody with the right, so
that a refusal is the right's and not the form's; other addresses are sent an empty one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from tests.fixtures.cast import Cast
from tests.fixtures.sample import Shop, add_desk

from .pages import addresses_of, routes

Enter = Callable[..., Client]

# Written by looking, not by the form; or by the log-in of the test.
_UNWATCHED = (
    "segmentation_lastuse", "segmentation_accessrecord", "segmentation_apikeyuse",
    "segmentation_star",
)  # fmt: skip
# Who may do what the address does, of the roles that are tried. Nobody of them by default.
MAY: dict[str, set[str]] = {
    "segmentation_run_verify": {"analyst", "auditor"},
    "segmentation_run_recompute": {"analyst"},
    "segmentation_factbatch_quality_refresh": {"analyst", "auditor"},
    "segmentation_job_export": {"analyst", "store_manager", "auditor"},
    "segmentation_customer_privacy": {"support_agent"},
    "segmentation_draft_add": {"analyst"},
    "card_file": {"analyst"},
    "builder_start": {"analyst"},
    "builder_template": {"analyst"},
    "builder_draft": {"analyst"},
    "builder_preview": {"analyst"},
    "builder_publish": {"analyst"},
    "builder_retire": {"analyst"},
    "builder_discard": {"analyst"},
}
TRIED = ("stranger", "support_agent", "store_manager", "auditor", "analyst")


def bodies(shop: Shop) -> dict[str, tuple[str, dict[str, Any]]]:
    """By name of the address: who may, and a form that does it."""
    return {
        "segmentation_run_recompute": (
            "operations_manager", {"as_of_0": "2026-03-05", "as_of_1": "00:00:00"},
        ),
        "segmentation_run_verify": ("auditor", {"key": "one-click"}),
        "segmentation_apikey_add": ("integration", {"name": "till", "scopes": ["members:read"]}),
        "segmentation_apikey_revoke": ("integration", {}),
        "segmentation_manualmember_add": (
            "operations_manager",
            {"segment": shop.segment.pk, "customer": shop.customers[0].pk, "kind": "exclude",
             "reason": "asked"},
        ),
        "segmentation_manualmember_delete": ("operations_manager", {"reason": "moved away"}),
        "segmentation_segment_manual": (
            "operations_manager",
            {"segment": shop.segment.pk, "customer": shop.customers[0].pk, "kind": "exclude",
             "reason": "asked"},
        ),
        "segmentation_customerlist_add": (
            "operations_manager",
            {"key": "new_list", "label_en": "New", "label_zh_hans": "新", "request_key": "k"},
        ),
        "segmentation_customerlist_retire": ("operations_manager", {"reason": "done"}),
        "segmentation_factbatch_quality_refresh": ("operations_manager", {"key": "two-clicks"}),
        "segmentation_job_cancel": ("operations_manager", {}),
        "card_file": ("operations_manager", {"folder": "Somewhere", "reason": "order"}),
        "auth_group_add": ("boss", {"name": "Everything"}),
        "auth_user_reset_second_factor": ("boss", {}),
    }  # fmt: skip


@pytest.fixture
def desk(cast: Cast, shop: Shop) -> Shop:
    """The shop with something of everything that forms change."""
    add_desk(cast.operations_manager)
    User.objects.create_superuser("boss")
    return shop


def fingerprint() -> dict[str, str]:
    """A hash of the rows of each table that a form could change."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND NOT tablename = ANY(%s)"
            " AND tablename ~ '^(segmentation|membership|auth|django_celery_beat|axes)_'",
            [list(_UNWATCHED)],
        )
        names = [row[0] for row in cursor.fetchall()]
        one = (
            "SELECT '{0}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {0} t"
        )
        cursor.execute(" UNION ALL ".join(one.format(name) for name in names))
        return dict(cursor.fetchall())


def changed_by(
    client: Client, address: str, body: dict[str, Any], *, before: dict[str, str]
) -> tuple[set[str], int]:
    """The tables that sending the form changes, and the status; taken back at once."""
    with transaction.atomic():
        status = client.post(address, body).status_code
        after = fingerprint()
        transaction.set_rollback(True)
    return {name for name, found in after.items() if before.get(name) != found}, status


def send_to() -> list[tuple[str, str]]:
    """Names and addresses of everything that could take a form."""
    return [
        (route.name or "", address)
        for route in routes()
        if route.name not in ("login", "jsi18n", "second_factor", "second_factor_set_up")
        for address in addresses_of(route)
    ]


@pytest.mark.parametrize("person", TRIED)
def test_a_form_without_the_right_changes_nothing(
    cast: Cast, desk: Shop, enter: Enter, person: str
) -> None:
    client = enter(getattr(cast, person))
    forms, before = bodies(desk), fingerprint()
    wrong = {}
    for name, address in send_to():
        if person in MAY.get(name, ()):
            continue
        body = forms.get(name, ("", {}))[1]
        tables, status = changed_by(client, address, body, before=before)
        if tables or status >= 500:
            wrong[address] = (status, tables)
    assert wrong == {}


def test_control_the_forms_work_for_who_may(cast: Cast, desk: Shop, enter: Enter) -> None:
    """Otherwise the test above would pass because the forms are wrong."""
    people = dict(vars(cast))
    people["boss"] = User.objects.get(username="boss")
    forms = bodies(desk)
    worked = set()
    for name, address in send_to():
        if name in forms and name not in worked:
            role, body = forms[name]
            client = enter(people[role])
            if changed_by(client, address, body, before=fingerprint())[0]:
                worked.add(name)
    assert worked == set(forms) - {"auth_user_reset_second_factor"}  # there is none to reset
