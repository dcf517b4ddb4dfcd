"""History: what changed, before and after, by whom and why; for people, roles, keys and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pghistory
import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from pghistory.models import Context

from membership.models import Membership
from segmentation.models import AccessRecord, ApiKey, Job, ManualMember, Metric
from segmentation.queries.changes import MOST_COUNTED
from segmentation.services.api_keys import create_api_key, revoke_api_key
from segmentation.services.manual_members import exclude_customer
from tests.fixtures.cast import Cast
from tests.fixtures.exports import ask_export, done, result_of
from tests.fixtures.sample import AS_OF, HIDDEN_KEY, HIDDEN_LABEL_EN, Shop

Enter = Callable[..., Client]
LOG = reverse("admin:pghistory_context_changelist")


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss")


@contextmanager
def act(**told: Any) -> Iterator[None]:
    """One act, as a request or a command is."""
    with pghistory.context(**told):
        yield


def rows(response: Any) -> list[tuple[str, ...]]:
    return [tuple(str(cell) for cell in row) for row in response.context["table"].rows]


def entries(client: Client, name: str, key: object) -> list[Any]:
    response = client.get(reverse(f"admin:{name}_history", args=[key]))
    assert response.status_code == 200
    return list(response.context["entries"])


def fields(entry: Any) -> dict[str, tuple[str, str]]:
    return {str(each.name): (str(each.before), str(each.after)) for each in entry.fields}


def test_an_act_is_one_line_with_all_it_changed(cast: Cast, shop: Shop, enter: Enter) -> None:
    Context.objects.all().delete()
    with act(actor="analyst", reason="tidy up", command="apply"):
        for metric in Metric.objects.all():
            metric.label_en = "Spend"
            metric.save()
        shop.segment.label_en = "Users of the app"
        shop.segment.save()
    client = enter(cast.analyst)
    (row,) = rows(client.get(LOG))
    assert row[1] == "analyst"
    assert row[2] == "Metric: 1 changed<br>Segment: 1 changed"
    assert row[3] == "tidy up"
    assert "Command line" in row[4]
    assert "apply" in row[4]
    page = client.get(reverse("admin:pghistory_context_change", args=[Context.objects.get().pk]))
    metric_table, segment_table = page.context["tables"]
    (change,) = metric_table.changes
    assert fields(change) == {"English name": ("Net spend, 365 days", "Spend")}
    (change,) = segment_table.changes
    assert fields(change) == {"English name": ("App users", "Users of the app")}
    assert change.address == reverse("admin:segmentation_segment_change", args=[shop.segment.pk])


def test_a_definition_shows_as_a_difference(cast: Cast, shop: Shop, enter: Enter) -> None:
    metric = Metric.objects.get()
    metric.document = {**metric.document, "window": {"days": 180, "to_now": True}}
    with act(actor="analyst"):
        metric.save()
    told = entries(enter(cast.analyst), "segmentation_metric", metric.pk)
    (field,) = next(each for each in told if each.who == "analyst").fields
    lines = [f"{line.sign}{line.text}" for line in field.diff if line.sign in "+-"]
    assert lines == ["-window: {days: 365, to_now: true}", "+window: {days: 180, to_now: true}"]


def test_acts_are_found_by_person_kind_and_day(cast: Cast, shop: Shop, enter: Enter) -> None:
    Context.objects.all().delete()
    metric = Metric.objects.get()
    by_service: dict[str, Any] = {"actor": "analyst"}
    by_request: dict[str, Any] = {"user": cast.reviewer.pk, "username": "reviewer"}
    for number, told in enumerate((by_service, by_request)):
        with act(**told):
            metric.version = 5 + number
            metric.save()
    with act(actor="analyst"):
        exclude_customer(
            shop.segment, customer=shop.customers[0], reason="asked", actor="operations_manager"
        )
    client = enter(cast.auditor)

    def who(**asked: str) -> list[str]:
        return [row[1] for row in rows(client.get(LOG, asked))]

    assert sorted(who()) == ["analyst", "operations_manager", "reviewer"]
    assert who(person="analyst") == ["analyst"]
    assert who(person="reviewer") == ["reviewer"]
    assert who(person="nobody") == []
    assert who(kind="segmentation.manualmemberevent") == ["operations_manager"]
    assert who(since="2999-01-01") == []
    assert sorted(who(until="2999-01-01")) == ["analyst", "operations_manager", "reviewer"]
    wrong = client.get(LOG, {"since": "2026-02-02", "until": "2026-02-01"})
    assert "until" in wrong.context["form"].errors


def test_pages_of_acts_follow_each_other(cast: Cast, shop: Shop, enter: Enter) -> None:
    Context.objects.all().delete()
    metric = Metric.objects.get()
    for number in range(53):
        with act(actor=f"p{number:02}"):
            metric.version = 10 + number
            metric.save()
    client = enter(cast.auditor)
    first = client.get(LOG)
    second = client.get(LOG + first.context["next_url"])
    seen = [row[1] for row in (*rows(first), *rows(second))]
    # All in one transaction of the test, so their times are equal: none is lost or shown twice.
    assert sorted(seen) == [f"p{number:02}" for number in range(53)]
    assert second.context["next_url"] == ""


def test_counts_stop_at_a_thousand(cast: Cast, shop: Shop, enter: Enter) -> None:
    with act(actor="till"):
        for _turn in range(MOST_COUNTED // 6 + 1):
            for value in (1, 2):
                Membership.objects.update(rank=value)
    (row,) = [row for row in rows(enter(cast.auditor).get(LOG)) if row[1] == "till"]
    assert row[2] == "Membership: 1,000 changed and more"


def test_what_is_hidden_is_in_no_act_of_others(cast: Cast, shop: Shop, enter: Enter) -> None:
    Context.objects.all().delete()
    with act(actor="operations_manager", reason=f"quieter {HIDDEN_KEY}"):
        shop.hidden.version = 7
        shop.hidden.save()
    hidden = Context.objects.get()
    with act(actor="operations_manager", reason=f"because of {HIDDEN_KEY}"):
        metric = Metric.objects.get()
        metric.version = 7
        metric.save()
        shop.hidden.version = 8
        shop.hidden.save()
    (row,) = rows(enter(cast.analyst).get(LOG))
    assert row[2:4] == ("Metric: 1 changed", "Details are restricted.")
    page = reverse("admin:pghistory_context_change", args=[hidden.pk])
    assert enter(cast.analyst).get(page).status_code == 404
    assert enter(cast.auditor).get(page).status_code == 200
    assert len(rows(enter(cast.auditor).get(LOG))) == 2


def test_what_became_internal_does_not_tell_what_it_was(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    with act(actor="operations_manager"):
        shop.hidden.is_hidden = False
        shop.hidden.label_en = "Open now"
        shop.hidden.document = {"key": HIDDEN_KEY, "visibility": "internal"}
        shop.hidden.save()
    context = Context.objects.get(metadata__actor="operations_manager")
    for address in (
        reverse("admin:segmentation_segment_history", args=[shop.hidden.pk]),
        reverse("admin:pghistory_context_change", args=[context.pk]),
    ):
        told = enter(cast.analyst).get(address).content.decode()
        assert "Open now" in told
        assert HIDDEN_LABEL_EN not in told
        assert "-visibility: hidden" not in told
        assert HIDDEN_LABEL_EN in enter(cast.auditor).get(address).content.decode()


def test_changes_by_hand_in_the_database_are_kept_too(cast: Cast, shop: Shop, enter: Enter) -> None:
    Metric.objects.update(version=99)
    response = enter(cast.auditor).get(reverse("admin:pghistory_context_outside"))
    assert any(row[1:] and "Net spend" in row[3] for row in rows(response))


def test_roles_and_people_are_tracked(cast: Cast, boss: User, enter: Enter) -> None:
    """architecture.md 15: roles."""
    client = enter(boss)
    person = cast.support_agent
    page = reverse("admin:auth_user_change", args=[person.pk])
    reviewer = Group.objects.get(name="Reviewer")
    form = {
        "username": person.username, "first_name": "", "last_name": "", "email": "",
        "groups": [reviewer.pk], "is_staff": "on", "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00", "scope-TOTAL_FORMS": 0, "scope-INITIAL_FORMS": 0,
        "password": person.password,
    }  # fmt: skip
    answer = client.post(page, form)
    assert answer.status_code == 302, answer.context and answer.context["errors"]
    found = {(each.what, str(each.who)) for each in entries(client, "auth_user", person.pk)}
    assert ("Role of a person: support_agent · Reviewer", "boss") in found
    assert ("Role of a person: support_agent · Support agent", "boss") in found
    changed = next(
        each for each in entries(client, "auth_user", person.pk) if "Person:" in each.what
    )
    assert fields(changed) == {"Active": ("Yes", "No")}
    group = Group.objects.get(name="Analyst")
    with act(actor="boss", reason="audit week"):
        group.permissions.add(Permission.objects.get(codename="view_accessrecord"))
    (given,) = (each for each in entries(client, "auth_group", group.pk) if each.who == "boss")
    assert given.why == "audit week"
    assert given.what.startswith("Right of a role: Analyst · ")


def test_neither_passwords_nor_log_ins_nor_key_hashes_are_kept(cast: Cast, shop: Shop) -> None:
    person = apps.get_model("segmentation", "PersonEvent")
    before = person._default_manager.count()
    cast.analyst.set_password("another one")
    cast.analyst.last_login = None
    cast.analyst.save()
    assert person._default_manager.count() == before
    made = create_api_key("till", scopes=["members:read"], actor="boss")
    key = ApiKey.objects.get(name=made.name)
    event = apps.get_model("segmentation", "ApiKeyEvent")._default_manager.get()
    kept = " ".join(str(value) for value in event.__dict__.values())
    assert key.hashed_key not in kept
    assert "password" not in {field.name for field in person._meta.fields}


def test_a_key_has_its_history(cast: Cast, enter: Enter) -> None:
    create_api_key("till", scopes=["members:read"], actor="integration")
    key = ApiKey.objects.get()
    revoke_api_key("till", actor="auditor")
    revoked, made = entries(enter(cast.auditor), "segmentation_apikey", key.prefix)
    assert (made.who, revoked.who) == ("integration", "auditor")
    assert fields(revoked) == {"Revoked": ("No", "Yes")}
    assert key.hashed_key not in str(revoked) + str(made)


def test_a_segments_history_has_its_manual_rows(cast: Cast, shop: Shop, enter: Enter) -> None:
    exclude_customer(
        shop.segment, customer=shop.customers[0], reason="asked by phone", actor="analyst"
    )
    (kept,) = (
        each
        for each in entries(enter(cast.auditor), "segmentation_segment", shop.segment.pk)
        if each.what == "Manual include or exclude: App users · C1000" and each.who == "analyst"
    )
    assert kept.why == "asked by phone"
    assert kept.address.startswith("/admin/pghistory/context/")


def test_rights_decide_which_changes_a_history_shows(cast: Cast, shop: Shop, enter: Enter) -> None:
    with act(actor="analyst"):
        shop.segment.version = 2
        shop.segment.save()
    assert entries(enter(cast.analyst), "segmentation_segment", shop.segment.pk) != []
    assert entries(enter(cast.support_agent), "segmentation_segment", shop.segment.pk) == []
    address = reverse("admin:segmentation_segment_history", args=[shop.hidden.pk])
    assert enter(cast.analyst).get(address).status_code == 404
    assert enter(cast.stranger).get(LOG).status_code == 403


def test_taking_back_a_manual_row_keeps_its_reason(cast: Cast, shop: Shop, enter: Enter) -> None:
    """S16."""
    row = ManualMember.objects.filter(segment=shop.segment).order_by("pk")[0]
    address = reverse("admin:segmentation_manualmember_delete", args=[row.pk])
    client = enter(cast.operations_manager)
    assert client.post(address, {"reason": "moved away"}).status_code == 302
    (taken,) = (each for each in rows(client.get(LOG)) if each[3] == "moved away")
    assert taken[1:3] == ("operations_manager", "Manual include or exclude: 1 removed")
    assert address in taken[4]


def test_looking_at_hidden_history_is_written_down(cast: Cast, shop: Shop, enter: Enter) -> None:
    Context.objects.all().delete()
    with act(actor="operations_manager"):
        shop.hidden.version = 7
        shop.hidden.save()
        exclude_customer(
            shop.hidden, customer=shop.customers[1], reason="x", actor="operations_manager"
        )
    client = enter(cast.auditor)
    for address in (
        reverse("admin:segmentation_segment_history", args=[shop.hidden.pk]),
        reverse("admin:pghistory_context_change", args=[Context.objects.get().pk]),
    ):
        before = AccessRecord.objects.count()
        assert client.get(address).status_code == 200
        (look,) = AccessRecord.objects.order_by("-pk")[: AccessRecord.objects.count() - before]
        assert (look.kind, look.actor, look.is_hidden) == ("view_hidden", "auditor", True)
        assert (look.subject_kind, look.subject_key) == ("segment", HIDDEN_KEY)
        assert look.details == {"page": address}


def test_looks_are_found_by_object_person_kind_and_day(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    """The auditor's question: who looked at X?"""
    for person, kind, subject in (
        (cast.reviewer, "view_hidden", ("segment", HIDDEN_KEY)),
        (cast.operations_manager, "export_hidden", ("segment", HIDDEN_KEY)),
        (cast.support_agent, "reveal", ("customer", "C1000")),
    ):
        AccessRecord.objects.create(
            at=AS_OF, kind=kind, via="admin", user=person, actor=person.get_username(),
            subject_kind=subject[0], subject_key=subject[1], is_hidden=subject[0] == "segment",
        )  # fmt: skip
    client = enter(cast.auditor)
    address = reverse("admin:segmentation_accessrecord_changelist")

    def who(**asked: str) -> list[str]:
        return [row[1] for row in rows(client.get(address, asked))]

    assert who() == ["support_agent", "operations_manager", "reviewer"]
    assert who(subject=f"segment:{HIDDEN_KEY}") == ["operations_manager", "reviewer"]
    assert who(subject=HIDDEN_KEY, kind="export_hidden") == ["operations_manager"]
    assert who(subject_kind="customer", subject="C1000") == ["support_agent"]
    assert who(person="reviewer") == ["reviewer"]
    assert who(since="2026-03-02") == ["support_agent", "operations_manager", "reviewer"]
    assert who(until="2026-03-01") == []
    assert enter(cast.operations_manager).get(address).status_code == 403


def test_an_auditor_exports_what_the_question_found(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.auditor)
    page = client.get(reverse("admin:segmentation_accessrecord_changelist"), {"person": "reviewer"})
    ((address, _words),) = page.context["question"].buttons
    assert address == reverse("admin:segmentation_job_export", args=["access"]) + "?person=reviewer"
    assert client.get(address).status_code == 200
    assert enter(cast.support_agent).get(address).status_code == 403


def test_a_reason_that_names_what_is_hidden_is_not_told(
    cast: Cast, shop: Shop, enter: Enter, settings: Any, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path
    look = AccessRecord.objects.create(
        at=AS_OF, kind="reveal", via="admin", user=cast.support_agent, actor="support_agent",
        subject_kind="customer", subject_key="C0", rows=1,
        details={"reason": f"asks about {HIDDEN_LABEL_EN}"},
    )  # fmt: skip
    rights = Permission.objects.filter(codename="view_accessrecord")
    cast.analyst.user_permissions.set(rights)
    address = reverse("admin:segmentation_accessrecord_change", args=[look.pk])
    for person, is_told in ((cast.analyst, False), (cast.auditor, True)):
        page = enter(person).get(address)
        assert page.status_code == 200
        assert (HIDDEN_LABEL_EN in page.content.decode()) is is_told
        job = done(ask_export("access", user=User.objects.get(pk=person.pk)))
        assert (HIDDEN_LABEL_EN in result_of(job).read_text("utf-8-sig")) is is_told


def test_a_long_reason_hides_what_it_names_over_two_lines(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    """The page folds long texts; a name over two lines is the same name."""
    texts = [f"{'a ' * filled}{HIDDEN_LABEL_EN} and so on" for filled in range(30, 60)]
    cast.analyst.user_permissions.set(Permission.objects.filter(codename="view_accessrecord"))
    client = enter(cast.analyst)
    for reason in texts:
        look = AccessRecord.objects.create(
            at=AS_OF, kind="reveal", via="admin", user=cast.support_agent, actor="support_agent",
            subject_kind="customer", subject_key="C0", rows=1, details={"asked": [reason]},
        )  # fmt: skip
        page = client.get(reverse("admin:segmentation_accessrecord_change", args=[look.pk]))
        assert "and so on" not in page.content.decode(), reason


def test_the_page_of_verifications(cast: Cast, shop: Shop, enter: Enter) -> None:
    address = reverse("audit_verification")
    for equal, words in ((True, "the same result"), (False, "another result")):
        Job.objects.create(
            kind="verify_run", subject=f"run:{shop.run.pk}", requested_by=cast.auditor,
            actor="auditor", requested_at=AS_OF, status="done", result={"equal": equal},
        )  # fmt: skip
        newest, older = rows(enter(cast.auditor).get(address))
        assert str(shop.run.pk) in newest[0]
        assert words in newest[4]
        assert "not verified" in older[4]
    assert enter(cast.support_agent).get(address).status_code == 403
