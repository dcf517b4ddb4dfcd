"""Pages as people use them: Home, first steps, runs, manual lists, keys, searching and paging."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from segmentation.models import ApiKey, Customer, FactBatch, ManualMember, Run
from tests.fixtures.cast import Cast
from tests.fixtures.sample import Shop

Enter = Callable[..., Client]
MANUAL_ADD = "admin:segmentation_manualmember_add"


def _text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return response.content.decode()


def test_home_of_a_stranger_has_nothing(cast: Cast, shop: Shop, enter: Enter) -> None:
    response = enter(cast.stranger).get(reverse("admin:index"))
    assert response.context["blocks"] == []
    groups = response.context["sidebar_navigation"]
    assert [[str(item["title"]) for item in group["items"]] for group in groups] == [["Home"]]


TREE = {
    "": ["Home"],
    "Customers": ["Customers"],
    "Tags & segments": ["Tags", "Metrics", "Segments", "Layerings", "Lists", "Drafts"],
    "Programs": ["Programs", "Tiers and rules", "Memberships", "Transitions"],
    "Data & runs": [
        "Facts",
        "Imports",
        "Runs",
        "Alerts",
        "Data quality",
        "Promotion calendar",
        "Jobs",
    ],
    "Audit": ["Operations log", "Access to sensitive data", "Verification"],
    "Settings": ["Staff", "API keys", "Alert rules", "Schedules", "Installation"],
}


def _tree(client: Client) -> dict[str, list[str]]:
    groups = client.get(reverse("admin:index")).context["sidebar_navigation"]
    return {
        str(group.get("title", "")): [str(item["title"]) for item in group["items"]]
        for group in groups
    }


def test_navigation_is_the_one_tree(cast: Cast, shop: Shop, enter: Enter) -> None:
    """product.md, Navigation: all of it for an administrator, in its order."""
    boss = User.objects.create_superuser("boss")
    tree = _tree(enter(boss))
    assert tree == TREE
    assert list(tree) == list(TREE)


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        ("operations_manager", {**TREE, "Audit": ["Operations log", "Verification"],
                                "Settings": ["Alert rules", "Installation"]}),
        ("auditor", TREE),
        ("support_agent", {"": ["Home"], "Customers": ["Customers"],
                           "Tags & segments": ["Segments"], "Programs": TREE["Programs"],
                           "Data & runs": ["Facts"]}),
        ("store_manager", {"": ["Home"], "Customers": ["Customers"],
                           "Tags & segments": ["Segments"], "Programs": TREE["Programs"],
                           "Data & runs": ["Facts", "Jobs"]}),
    ],
)  # fmt: skip
def test_navigation_is_filtered_by_right(
    cast: Cast, shop: Shop, enter: Enter, person: str, expected: dict[str, list[str]]
) -> None:
    assert _tree(enter(getattr(cast, person))) == expected


@pytest.mark.parametrize("person", ["operations_manager", "auditor", "store_manager"])
def test_every_entry_of_the_tree_opens(cast: Cast, shop: Shop, enter: Enter, person: str) -> None:
    client = enter(getattr(cast, person))
    groups = client.get(reverse("admin:index")).context["sidebar_navigation"]
    for group in groups:
        for item in group["items"]:
            page = client.get(str(item["link"]))
            assert page.status_code == 200, item["link"]
            active = [
                str(each["title"])
                for other in page.context["sidebar_navigation"]
                for each in other["items"]
                if each.get("active")
            ]
            assert active == [str(item["title"])], item["link"]


def test_the_sample_clock_shows_on_every_page(
    cast: Cast, shop: Shop, enter: Enter, settings: Any
) -> None:
    client = enter(cast.operations_manager)
    assert 'id="sample-clock"' not in _text(client, reverse("admin:index"))
    settings.CLOCK_START = datetime(2018, 1, 1, tzinfo=UTC)
    for name in ("index", "segmentation_customer_changelist", "segmentation_run_recompute"):
        text = _text(client, reverse(f"admin:{name}"))
        assert 'id="sample-clock"' in text
        assert "2018-01-01 08:00" in text  # local to the project's zone


def test_support_sees_the_membership_but_no_run(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.support_agent)
    address = reverse("admin:segmentation_customer_change", args=[shop.customers[0].pk])
    assert "Silver" in _text(client, address)
    for name in ("segmentation_run", "segmentation_metric", "segmentation_apikey"):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403


def test_pages_follow_each_other_without_gap(cast: Cast, shop: Shop, enter: Enter) -> None:
    batch = FactBatch.objects.get()
    for number in range(60):
        Customer.objects.create(batch=batch, external_id=f"D{number:03}", ordinal=100 + number)
    client = enter(cast.support_agent)
    address = reverse("admin:segmentation_customer_changelist") + "?q=D0"
    first = client.get(address).context["cl"]
    second = client.get(
        reverse("admin:segmentation_customer_changelist") + str(first.next_url)
    ).context["cl"]
    found = [row.external_id for row in (*first.result_list, *second.result_list)]
    assert found == [f"D{number:03}" for number in range(60)]
    assert second.next_url is None
    assert first.first_url is None
    assert second.first_url == "?q=D0"


@pytest.mark.parametrize(
    ("model", "term", "size"),
    [("customer", "C100", 6), ("customer", "100", 0), ("order", "O1-0", 1), ("order", "C1001", 2),
     ("orderline", "O1-1", 1), ("refund", "R1", 1), ("event", "C1002", 1),
     ("referral", "C1003", 1), ("customertag", "C1003", 1)],
)  # fmt: skip
def test_searching_by_ids(
    cast: Cast, shop: Shop, enter: Enter, model: str, term: str, size: int
) -> None:
    address = reverse(f"admin:segmentation_{model}_changelist")
    response = enter(cast.operations_manager).get(address, {"q": term})
    assert len(response.context["cl"].result_list) == size


@pytest.mark.parametrize(
    ("model", "query", "field", "values"),
    [
        ("run", "status__exact=failed", "status", {"failed"}),
        ("segment", "", "is_hidden", {True}),  # the internal one is retired below
        ("segment", "state=all", "is_hidden", {True, False}),
        ("segment", "state=retired", "is_hidden", {False}),
        ("factbatch", "source__exact=import", "source", {"import"}),
        ("factbatch", "source__exact=api", "source", set()),
        ("manualmember", "kind__exact=exclude", "kind", {"exclude"}),
        ("runcount", "kind__exact=tier", "kind", {"tier"}),
    ],
)
def test_filters_work(
    cast: Cast, shop: Shop, enter: Enter, model: str, query: str, field: str, values: set[object]
) -> None:
    shop.segment.retired_at = datetime(2026, 3, 1, tzinfo=UTC)
    shop.segment.save(update_fields=["retired_at"])
    address = reverse(f"admin:segmentation_{model}_changelist")
    found = enter(cast.operations_manager).get(f"{address}?{query}").context["cl"].result_list
    assert {getattr(row, field) for row in found} == values


@pytest.mark.parametrize(
    "path",
    [
        "segmentation/customer/?after=%00",
        "segmentation/factbatch/?source__exact=%00",
        "segmentation/apikey/%00/change/",
        "autocomplete/?app_label=segmentation&model_name=manualmember&field_name=customer&term=%00",
        "autocomplete/?app_label=segmentation&model_name=manualmember&field_name=segment&term=%00",
    ],
)
def test_a_nul_in_an_address_finds_nothing(cast: Cast, shop: Shop, enter: Enter, path: str) -> None:
    """PostgreSQL refuses to compare with one: without care each of these is an error page."""
    response = enter(User.objects.create_superuser("boss")).get(f"/admin/{path}")
    if path.startswith("autocomplete"):
        assert response.json()["results"] == []
    else:
        assert response.status_code == (404 if "change" in path else 302)


def test_a_wrong_page_position_is_refused_gently(cast: Cast, shop: Shop, enter: Enter) -> None:
    address = reverse("admin:segmentation_order_changelist")
    assert enter(cast.operations_manager).get(f"{address}?after=x").status_code == 302


def _start(client: Client) -> Any:
    return client.post(
        reverse("admin:segmentation_run_recompute"),
        {"as_of_0": "2026-03-05", "as_of_1": "00:00:00"},
    )


def test_recompute_queues_one_run_however_often_it_is_clicked(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    first, second = _start(client), _start(client)
    run = Run.objects.get(status=Run.Status.QUEUED)
    assert run.as_of == datetime(2026, 3, 4, 16, 0, tzinfo=UTC)
    assert run.requested_by == "operations_manager"
    page = reverse("admin:segmentation_run_change", args=[run.pk])
    assert (first["location"], second["location"]) == (page, page)


def test_recompute_needs_the_right(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.auditor)
    assert _start(client).status_code == 403
    assert not Run.objects.filter(status=Run.Status.QUEUED).exists()
    assert "Recompute now" not in _text(client, reverse("admin:segmentation_run_changelist"))


def test_a_manual_member_is_added_with_a_reason_and_an_actor(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    """S16."""
    client = enter(cast.operations_manager)
    row = {"segment": shop.hidden.pk, "customer": shop.customers[1].pk, "kind": "exclude"}
    refused = client.post(reverse(MANUAL_ADD), {**row, "reason": ""})
    assert "reason" in refused.context["adminform"].form.errors
    assert not ManualMember.objects.filter(**row).exists()
    assert client.post(reverse(MANUAL_ADD), {**row, "reason": "asked"}).status_code == 302
    made = ManualMember.objects.get(**row)
    assert (made.reason, made.actor) == ("asked", "operations_manager")
    again = client.post(reverse(MANUAL_ADD), {**row, "reason": "asked"})
    assert again.status_code == 200
    assert ManualMember.objects.filter(**row).count() == 1


def test_taking_off_the_list_needs_a_reason_and_keeps_history(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    """S16."""
    client = enter(cast.operations_manager)
    row = ManualMember.objects.filter(segment=shop.segment).order_by("pk")[0]
    address = reverse("admin:segmentation_manualmember_delete", args=[row.pk])
    assert client.post(address, {"reason": " "}).status_code == 200
    assert ManualMember.objects.filter(pk=row.pk).exists()
    assert client.post(address, {"reason": "moved away"}).status_code == 302
    assert not ManualMember.objects.filter(pk=row.pk).exists()
    text = _text(client, reverse("admin:segmentation_segment_history", args=[row.segment_id]))
    assert "moved away" in text
    assert "Removed" in text


def test_others_may_look_at_lists_but_not_change_them(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.auditor)
    row = ManualMember.objects.all()[0]
    assert client.get(reverse(MANUAL_ADD)).status_code == 403
    address = reverse("admin:segmentation_manualmember_delete", args=[row.pk])
    assert client.post(address, {"reason": "no right"}).status_code == 403
    assert ManualMember.objects.filter(pk=row.pk).exists()


def test_an_api_key_shows_once_and_can_be_revoked(cast: Cast, enter: Enter) -> None:
    client = enter(cast.integration)
    form = {"name": "checkout", "scopes": ["members:read", "runs:read"], "stores": "S1\n S2 \n"}
    made = client.post(reverse("admin:segmentation_apikey_add"), form)
    secret = made.context["made"].key
    key = ApiKey.objects.get()
    assert secret in made.content.decode()
    assert key.scopes == ["members:read", "runs:read"]
    assert key.home_stores == ["S1", "S2"]
    page = reverse("admin:segmentation_apikey_change", args=[key.prefix])
    for address in (page, reverse("admin:segmentation_apikey_changelist")):
        text = _text(client, address)
        assert secret not in text
        assert key.hashed_key not in text
    revoke = reverse("admin:segmentation_apikey_revoke", args=[key.prefix])
    assert enter(cast.auditor).post(revoke).status_code == 403
    key.refresh_from_db()
    assert key.revoked is False
    assert client.post(revoke).status_code == 302
    key.refresh_from_db()
    assert key.revoked is True


def test_nobody_makes_a_key_that_sees_more_than_they_do(cast: Cast, enter: Enter) -> None:
    client = enter(cast.integration)
    address = reverse("admin:segmentation_apikey_add")
    assert "segments:read_hidden" not in _text(client, address)
    refused = client.post(address, {"name": "spy", "scopes": ["segments:read_hidden"]})
    assert "scopes" in refused.context["form"].errors
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_permissions_have_names_in_both_languages(cast: Cast, enter: Enter, language: str) -> None:
    boss = User.objects.create_superuser("boss", password="x")
    text = _text(enter(boss, language=language), reverse("admin:auth_group_add"))
    assert ("Can view: segment" in text) == (language == "en")
    assert Permission.objects.filter(codename="request_run").exists()


def test_staff_and_schedule_pages_open(cast: Cast, enter: Enter) -> None:
    client = enter(User.objects.create_superuser("boss", password="x"))
    beat = ("periodictask", "crontabschedule", "intervalschedule")
    for name in ("auth_user", "auth_group", *(f"django_celery_beat_{model}" for model in beat)):
        _text(client, reverse(f"admin:{name}_changelist"))
        _text(client, reverse(f"admin:{name}_add"))
    _text(client, reverse("admin:auth_user_change", args=[cast.analyst.pk]))
    _text(client, reverse("admin:password_change"))
