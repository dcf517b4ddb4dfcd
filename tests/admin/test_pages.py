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


def test_home_shows_the_newest_run_and_what_is_wrong(cast: Cast, shop: Shop, enter: Enter) -> None:
    response = enter(cast.operations_manager).get(reverse("admin:index"))
    figures = {str(fact.name): str(fact.value) for fact in response.context["facts"]}
    assert "2026-03-02 00:00" in figures["As of"]
    assert figures["Took"] == "2.4 s"
    tiers, moved = response.context["panels"]
    assert [tuple(row) for row in tiers.rows] == [
        ("Gold Club", "Gold", "2", "+1"),
        ("Gold Club", "Silver", "4", "−1"),
    ]
    assert len(moved.rows) == len(shop.customers)
    details = [str(row[2]) for row in response.context["wrong"].rows]
    assert details == [
        "parity: segment whisper_orchid differs",
        "12 of 1,240 rows of “Orders” were rejected.",
    ]
    assert response.context["steps"] == ()


def test_an_error_that_names_a_hidden_segment_is_restricted(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    response = enter(cast.analyst).get(reverse("admin:index"))
    assert str(response.context["wrong"].rows[0][2]) == "Details are restricted."


def test_first_steps_say_what_is_missing(cast: Cast, enter: Enter) -> None:
    response = enter(cast.operations_manager).get(reverse("admin:index"))
    assert [step.is_done for step in response.context["steps"]] == [False, False, False]
    text = response.content.decode()
    for command in ("import customers customers.csv", "apply definitions.yaml", "recompute --wait"):
        assert command in text


def test_home_of_a_stranger_has_nothing(cast: Cast, shop: Shop, enter: Enter) -> None:
    response = enter(cast.stranger).get(reverse("admin:index"))
    assert response.context["panels"] == []
    assert response.context["wrong"] is None
    groups = response.context["sidebar_navigation"]
    assert [[str(item["title"]) for item in group["items"]] for group in groups] == [["Home"]]


def test_navigation_has_the_fixed_groups(cast: Cast, shop: Shop, enter: Enter) -> None:
    response = enter(cast.operations_manager).get(reverse("admin:index"))
    titles = [str(group.get("title", "")) for group in response.context["sidebar_navigation"]]
    assert titles == [
        "", "Customers", "Tags & segments", "Programs", "Data & runs", "Audit", "Settings",
    ]  # fmt: skip
    support = enter(cast.support_agent).get(reverse("admin:index"))
    titles = [str(group.get("title", "")) for group in support.context["sidebar_navigation"]]
    assert titles == ["", "Customers", "Programs", "Data & runs"]


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


def test_a_customer_page_masks_contact_data(cast: Cast, shop: Shop, enter: Enter) -> None:
    address = reverse("admin:segmentation_customer_change", args=[shop.customers[0].pk])
    client = enter(cast.operations_manager)
    response = client.get(address)
    text = response.content.decode()
    assert "138••••78" in text
    assert "l••••@example.com" in text
    for secret in ("13812345678", "li.lei", "o6_bmasdasdsad6"):
        assert secret not in text
        assert secret not in _text(client, reverse("admin:segmentation_customer_changelist"))
    titles = [str(table.title) for table in response.context["panels"]]
    assert titles == ["Memberships", "Transitions", "Tags", "Latest orders"]
    assert "Net spend, 365 days: 2480.50" in text
    assert "qualifies for this tier" in text


def test_support_sees_the_membership_but_no_run(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.support_agent)
    address = reverse("admin:segmentation_customer_change", args=[shop.customers[0].pk])
    assert "Silver" in _text(client, address)
    for name in ("segmentation_run", "segmentation_segment", "membership_program"):
        assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403


def test_pages_follow_each_other_without_gap(cast: Cast, shop: Shop, enter: Enter) -> None:
    batch = FactBatch.objects.get()
    for number in range(60):
        Customer.objects.create(batch=batch, external_id=f"D{number:03}", ordinal=100 + number)
    client = enter(cast.support_agent)
    address = reverse("admin:segmentation_customer_changelist") + "?q=D"
    first = client.get(address).context["cl"]
    second = client.get(
        reverse("admin:segmentation_customer_changelist") + str(first.next_url)
    ).context["cl"]
    found = [row.external_id for row in (*first.result_list, *second.result_list)]
    assert found == [f"D{number:03}" for number in range(60)]
    assert second.next_url is None
    assert first.first_url is None
    assert second.first_url == "?q=D"


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
    response = enter(cast.operations_manager).get(f"/admin/{path}")
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
    text = _text(client, reverse("admin:segmentation_manualmemberevent_changelist"))
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
    client = enter(cast.operations_manager)
    form = {"name": "checkout", "scopes": ["members:read", "runs:read"]}
    made = client.post(reverse("admin:segmentation_apikey_add"), form)
    secret = made.context["made"].key
    key = ApiKey.objects.get()
    assert secret in made.content.decode()
    assert key.scopes == ["members:read", "runs:read"]
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
