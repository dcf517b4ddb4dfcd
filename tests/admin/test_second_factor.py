"""The second factor: set up, asked for, required of who publishes or sees hidden data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests.fixtures.cast import make_roles

Enter = Callable[..., Client]
HOME = "/admin/"
CODE, SET_UP = reverse("second_factor"), reverse("second_factor_set_up")


@pytest.fixture
def required(settings: Any) -> None:
    settings.SECOND_FACTOR = "required"


def person(role: str) -> User:
    make_roles()
    user = User.objects.create_user(role.lower().replace(" ", "_"), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def switch_on(client: Client) -> tuple[TOTPDevice, list[str]]:
    """Set the factor up as a person would; the device and the recovery codes."""
    client.get(SET_UP)
    device = TOTPDevice.objects.get(confirmed=False)
    page = client.post(SET_UP, {"code": f"{totp(device.bin_key):06d}"})
    assert page.status_code == 200
    return TOTPDevice.objects.get(pk=device.pk), page.context["codes"]


@pytest.mark.parametrize(
    ("role", "is_led_away"),
    [("Operations manager", True), ("Reviewer", True), ("Analyst", True), ("Auditor", True),
     ("Support agent", False), ("Store manager", False), ("Integration", False)],
)  # fmt: skip
@pytest.mark.usefixtures("db", "required")
def test_who_must_set_it_up(enter: Enter, role: str, is_led_away: bool) -> None:
    """Roles that publish or see hidden data reach no page before; the others work on."""
    response = enter(person(role)).get(HOME)
    if is_led_away:
        assert (response.status_code, response["Location"]) == (302, SET_UP)
    else:
        assert response.status_code == 200


@pytest.mark.usefixtures("db")
def test_where_it_is_optional_nobody_is_led_away(enter: Enter) -> None:
    assert enter(person("Operations manager")).get(HOME).status_code == 200


@pytest.mark.usefixtures("db", "required")
def test_setting_it_up_opens_the_admin_for_this_session_only(enter: Enter) -> None:
    user = person("Auditor")
    client = enter(user)
    device, codes = switch_on(client)
    assert device.confirmed
    assert len(set(codes)) == 10
    assert client.get(HOME).status_code == 200
    again = enter(user)
    asked = again.get("/admin/segmentation/run/?q=1")
    assert asked["Location"] == f"{CODE}?next=%2Fadmin%2Fsegmentation%2Frun%2F%3Fq%3D1"


@pytest.mark.usefixtures("db", "required")
def test_a_wrong_code_opens_nothing_and_the_next_must_wait(enter: Enter) -> None:
    user = person("Auditor")
    device, _codes = switch_on(enter(user))
    TOTPDevice.objects.update(last_t=-1)
    client = enter(user)
    right = f"{totp(device.bin_key):06d}"
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    assert "code" in client.post(CODE, {"code": wrong}).context["form"].errors
    assert client.get(HOME)["Location"] == CODE
    # Guessing is slowed down: right after a wrong code even the right one waits.
    assert "code" in client.post(CODE, {"code": right}).context["form"].errors
    assert client.get(HOME)["Location"] == CODE


@pytest.mark.usefixtures("db", "required")
def test_a_recovery_code_works_once(enter: Enter) -> None:
    user = person("Auditor")
    _device, codes = switch_on(enter(user))
    first = enter(user).post(f"{CODE}?next=/admin/auth/", {"code": codes[0]})
    assert (first.status_code, first["Location"]) == (302, "/admin/auth/")
    assert StaticToken.objects.count() == 9
    second = enter(user).post(CODE, {"code": codes[0]})
    assert second.status_code == 200
    assert StaticToken.objects.count() == 9


@pytest.mark.usefixtures("db", "required")
def test_the_way_back_leads_nowhere_else(enter: Enter) -> None:
    user = person("Auditor")
    _device, codes = switch_on(enter(user))
    sent = enter(user).post(f"{CODE}?next=https://evil.example/", {"code": codes[0]})
    assert sent["Location"] == HOME


@pytest.mark.usefixtures("db", "required")
def test_a_session_without_the_code_changes_nothing(enter: Enter) -> None:
    user = person("Operations manager")
    switch_on(enter(user))
    client = enter(user)
    sent = client.post(reverse("admin:segmentation_run_recompute"), {})
    assert (sent.status_code, sent["Location"]) == (302, CODE)
    pane = client.get(HOME, headers={"HX-Request": "true"})
    assert (pane.status_code, pane["HX-Redirect"]) == (401, CODE)


@pytest.mark.usefixtures("db", "required")
def test_another_secret_is_not_shown_once_it_is_on(enter: Enter) -> None:
    user = person("Auditor")
    client = enter(user)
    switch_on(client)
    page = client.get(SET_UP)
    assert page.status_code == 200
    assert "secret" not in page.context
    assert TOTPDevice.objects.count() == 1


@pytest.mark.usefixtures("db", "required")
def test_an_administrator_resets_it_and_it_is_written_down(enter: Enter) -> None:
    user = person("Auditor")
    switch_on(enter(user))
    address = reverse("admin:auth_user_reset_second_factor", args=[user.pk])
    assert enter(person("Support agent")).post(address).status_code == 403
    assert TOTPDevice.objects.count() == 1
    boss = User.objects.create_superuser("boss")
    client = enter(boss)
    switch_on(client)
    assert client.get(address).status_code == 200
    assert client.post(address).status_code == 302
    assert [device.user for device in TOTPDevice.objects.all()] == [boss]
    assert enter(user).get(HOME)["Location"] == SET_UP
    history = client.get(reverse("admin:auth_user_history", args=[user.pk]))
    assert "Second factor reset" in history.content.decode()
