"""Nobody gives away more than they have, or takes over somebody who has more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from config.second_factor import has_device
from segmentation.models import SCOPES, ApiKey, StaffScope
from tests.fixtures.cast import Cast

Enter = Callable[..., Client]
PEOPLE, ROLES = "/admin/auth/user/", "/admin/auth/group/"
PASSWORD = {"password1": "correct horse 9", "password2": "correct horse 9"}


def right(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


@pytest.fixture
def clerk(cast: Cast) -> User:
    """Somebody who looks after the staff, and else has what support has."""
    user = User.objects.create_user("clerk", is_staff=True)
    user.groups.add(Group.objects.get(name="Support agent"))
    names = [f"{act}_{kind}" for act in ("view", "add", "change", "delete") for kind in
             ("user", "group", "staffscope")]  # fmt: skip
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


def form(person: User, **changes: object) -> dict[str, object]:
    return {
        "username": person.username,
        "is_active": "on",
        "is_staff": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "groups": [group.pk for group in person.groups.all()],
        "user_permissions": [each.pk for each in person.user_permissions.all()],
        "scope-TOTAL_FORMS": 0,
        "scope-INITIAL_FORMS": 0,
        **changes,
    }


def test_nobody_makes_themselves_more_than_they_are(cast: Cast, clerk: User, enter: Enter) -> None:
    client, address = enter(clerk), f"{PEOPLE}{clerk.pk}/change/"
    operations = Group.objects.get(name="Operations manager")
    for change, status in (
        ({"is_superuser": "on"}, 302),  # left out of the form, so not read
        ({"groups": [operations.pk]}, 200),
        ({"user_permissions": [right("view_hidden_segment").pk]}, 200),
    ):
        answer = client.post(address, form(clerk, **change))
        assert answer.status_code == status
        found = User.objects.get(pk=clerk.pk)
        assert not found.is_superuser
        assert not found.has_perm("segmentation.view_hidden_segment")
    support = Group.objects.get(name="Support agent")
    new = User.objects.create_user("new", is_staff=True)
    answer = client.post(f"{PEOPLE}{new.pk}/change/", form(new, groups=[support.pk]))
    assert answer.status_code == 302
    assert list(new.groups.all()) == [support]  # what they have they give


def test_nobody_takes_over_who_has_more(cast: Cast, clerk: User, enter: Enter) -> None:
    boss = User.objects.create_superuser("boss")
    asleep = User.objects.create_user("asleep", is_staff=True, is_active=False)
    asleep.groups.add(Group.objects.get(name="Reviewer"))
    client = enter(clerk)
    for person in (boss, cast.operations_manager, asleep):
        before = person.password
        address = f"{PEOPLE}{person.pk}/"
        assert client.post(f"{address}password/", PASSWORD).status_code == 403
        assert client.post(f"{address}change/", form(person, username="gone")).status_code == 403
        assert client.post(f"{address}delete/", {"post": "yes"}).status_code == 403
        assert client.post(f"{address}reset-second-factor/").status_code == 403
        assert User.objects.get(pk=person.pk).password == before
    assert client.post(f"{PEOPLE}{cast.support_agent.pk}/password/", PASSWORD).status_code == 302
    assert not has_device(boss)


def test_nobody_widens_a_role(cast: Cast, clerk: User, enter: Enter) -> None:
    client = enter(clerk)
    for name in ("Support agent", "Operations manager"):
        role = Group.objects.get(name=name)
        had = set(role.permissions.values_list("pk", flat=True))
        more = right("delete_customerlist") if name == "Operations manager" else right("view_draft")
        client.post(f"{ROLES}{role.pk}/change/", {"name": name, "permissions": [*had, more.pk]})
        assert set(role.permissions.values_list("pk", flat=True)) == had


def test_who_has_a_row_scope_gives_none_away(cast: Cast, enter: Enter) -> None:
    lead = cast.store_manager  # of some stores
    names = [f"{act}_{kind}" for act in ("view", "add", "change") for kind in
             ("user", "staffscope", "apikey")]  # fmt: skip
    lead.user_permissions.set(Permission.objects.filter(codename__in=names))
    other = User.objects.create_user("other", is_staff=True)
    StaffScope.objects.create(user=other, home_stores=["S99"])
    client = enter(lead)
    assert client.post(f"{PEOPLE}{other.pk}/password/", PASSWORD).status_code == 403
    page = client.get(f"{PEOPLE}{lead.pk}/change/")
    assert page.status_code == 200
    formsets = page.context["inline_admin_formsets"]
    assert not any(each.has_change_permission or each.has_add_permission for each in formsets)
    own = StaffScope.objects.get(user=lead).home_stores
    key = {"name": "till", "scopes": ["customers:read"]}
    assert client.post("/admin/segmentation/apikey/add/", key).context["form"].errors
    assert (
        client.post("/admin/segmentation/apikey/add/", {**key, "stores": f"{own[0]}\nS99"})
        .context["form"]
        .errors
    )
    client.post("/admin/segmentation/apikey/add/", {**key, "stores": own[0]})
    assert ApiKey.objects.get().home_stores == own[:1]


def test_a_key_gets_no_scope_whose_right_its_maker_lacks(cast: Cast, enter: Enter) -> None:
    """The role Integration makes what integrations need; privacy wishes, what is hidden and stops
    take a right that it has not."""
    address = "/admin/segmentation/apikey/add/"

    def offered(client: Client) -> set[str]:
        choices = client.get(address).context["form"].fields["scopes"].choices
        return {scope for scope, _words in choices}

    client = enter(cast.integration)
    beyond = {"customers:write", "segments:read_hidden", "runs:cancel"}
    assert offered(client) == set(SCOPES) - beyond
    refused = client.post(address, {"name": "crm", "scopes": ["customers:write"]})
    assert "scopes" in refused.context["form"].errors
    assert not ApiKey.objects.exists()
    cast.integration.groups.add(Group.objects.get(name="Operations manager"))
    assert offered(enter(User.objects.get(pk=cast.integration.pk))) == set(SCOPES)
    assert offered(enter(User.objects.create_superuser("boss"))) == set(SCOPES)
    keeper = User.objects.create_user("keeper", is_staff=True)
    names = ["view_apikey", "add_apikey", "view_run"]
    keeper.user_permissions.set(Permission.objects.filter(codename__in=names))
    assert offered(enter(keeper)) == {"runs:read"}


def test_who_only_sees_schedules_neither_stops_nor_runs_them(cast: Cast, enter: Enter) -> None:
    every = IntervalSchedule.objects.create(every=1, period="days")
    task = PeriodicTask.objects.create(name="nightly", task="nothing", interval=every)
    address = "/admin/django_celery_beat/periodictask/"
    for act in ("disable_tasks", "toggle_tasks", "run_tasks"):
        enter(cast.auditor).post(address, {"action": act, "_selected_action": [task.pk]})
        task.refresh_from_db()
        assert task.enabled
    boss = User.objects.create_superuser("boss")
    enter(boss).post(address, {"action": "disable_tasks", "_selected_action": [task.pk]})
    task.refresh_from_db()
    assert not task.enabled
