"""Customer lists: making, uploading with a report, retiring, saving a group, who may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pghistory
import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from segmentation.models import AccessRecord, Customer, CustomerList, CustomerListMember, Job
from segmentation.services import list_saves
from segmentation.services.jobs import execute_job
from segmentation.services.list_members import save_members
from tests.fixtures.cast import OWN_STORE, Cast, make_cast
from tests.fixtures.desk_world import HIDDEN, SPENDERS, make_desk_world
from tests.fixtures.sample import HIDDEN_KEY, Shop
from tests.fixtures.world import World

Enter = Callable[..., Client]
ADD = "admin:segmentation_customerlist_add"
SAVE = "admin:segmentation_customerlist_save"
NAMES = {"label_en": "Guests of the fair", "label_zh_hans": "展会来宾", "note": "", "reason": ""}


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def page(row: CustomerList, part: str = "change") -> str:
    return reverse(f"admin:segmentation_customerlist_{part}", args=[row.pk])


def ids(*lines: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("ids.csv", "\n".join(("customer_id", *lines)).encode())


def made(client: Client, key: str, **more: Any) -> CustomerList:
    form = client.get(reverse(ADD)).context["form"]
    request_key = form["request_key"].value()
    sent = client.post(reverse(ADD), {"key": key, **NAMES, "request_key": request_key, **more})
    assert sent.status_code == 302, sent.context["form"].errors
    return CustomerList.objects.get(key=key)


def done(job: Job) -> Job:
    ended = execute_job(job, clock=real_now)
    assert ended.status == "done", ended.error
    return ended


def test_a_list_from_a_file_with_a_report(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    file = ids("C1000", "C1001", "nobody", "C1000", "C1002")
    row = made(client, "guests", file=file, reason="the fair in May")
    job = done(Job.objects.get(kind="list_upload"))
    row.refresh_from_db()
    assert (row.size, row.is_hidden, row.actor) == (3, False, "operations_manager")
    report = client.get(reverse("admin:segmentation_job_change", args=[job.pk]))
    text = report.content.decode()
    for words in ("There is no such customer.", "The same ID stands further up in the file."):
        assert words in text
    file_address = reverse("admin:segmentation_job_file", args=[job.pk])
    rejects = b"".join(client.get(file_address)).decode("utf-8-sig")
    assert [line.split(",")[:2] for line in rejects.splitlines()] == [
        ["line", "reason_code"], ["4", "unknown_customer"], ["5", "duplicate"],
    ]  # fmt: skip
    assert enter(cast.reviewer).get(file_address).status_code == 404  # not the reviewer's job
    uploads = client.get(page(row)).context["panels"][0].rows
    assert [str(cell) for cell in uploads[0][4:]] == ["3", "1", "1"]
    members = client.get(page(row, "members"))
    assert members.context["total"] == "3"
    assert "138••••78" in members.content.decode()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("replace", {"C1002"}), ("add", {"C1000", "C1001", "C1002"}), ("remove", {"C1000", "C1001"})],
)
def test_ways_to_upload(
    cast: Cast, shop: Shop, enter: Enter, mode: str, expected: set[str]
) -> None:
    client = enter(cast.operations_manager)
    row = made(client, "guests", file=ids("C1000", "C1001"))
    done(Job.objects.get())
    address = page(row, "upload")
    key = client.get(address).context["form"]["request_key"].value()
    for _click in range(2):  # a double click makes one job
        sent = client.post(address, {"mode": mode, "file": ids("C1002"), "request_key": key})
        assert sent.status_code == 302
    assert Job.objects.count() == 2
    done(Job.objects.order_by("-pk")[0])
    on_it = CustomerListMember.objects.filter(list=row)
    assert set(on_it.values_list("customer__external_id", flat=True)) == expected


def test_a_form_with_problems_makes_nothing(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    for key, more in (("Not A Key", {}), ("guests", {"label_zh_hans": " "})):
        sent = client.post(reverse(ADD), {"key": key, **NAMES, "request_key": "k", **more})
        assert sent.status_code == 200
        assert sent.context["form"].errors
    assert not CustomerList.objects.exists()
    made(client, "guests")
    sent = client.post(reverse(ADD), {"key": "guests", **NAMES, "request_key": "other"})
    assert "taken" in str(sent.context["form"].errors["key"])
    assert CustomerList.objects.count() == 1
    assert Job.objects.count() == 0


def test_who_may_do_what_with_lists(cast: Cast, shop: Shop, enter: Enter) -> None:
    row = made(enter(cast.operations_manager), "guests")
    for person in (cast.analyst, cast.reviewer, cast.auditor):
        client = enter(person)
        assert client.get(page(row)).status_code == 200
        assert client.get(page(row)).context["urls"] == {}
        assert client.get(reverse(ADD)).status_code == 403
        for part in ("upload", "edit", "retire"):
            assert client.post(page(row, part), {"reason": "x"}).status_code == 403, part
        assert client.post(reverse(SAVE) + "?subject=segment:app_users").status_code == 403
    for person in (cast.support_agent, cast.store_manager, cast.stranger):
        assert enter(person).get(page(row)).status_code == 403
    row.refresh_from_db()
    assert row.retired_at is None
    assert Job.objects.count() == 0


def test_a_restricted_list_is_404_for_others_and_looks_are_written_down(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    row = made(client, "silent_guests", is_hidden="on")
    assert row.is_hidden
    analyst = enter(cast.analyst)
    for part in ("change", "members", "upload", "edit", "retire", "history"):
        assert analyst.get(page(row, part)).status_code == 404, part
    listing = analyst.get(reverse("admin:segmentation_customerlist_changelist"))
    assert "silent_guests" not in listing.content.decode()
    assert AccessRecord.objects.count() == 0
    assert client.get(page(row)).status_code == 200
    assert client.get(page(row, "members")).status_code == 200
    found = AccessRecord.objects.values_list("kind", "subject_kind", "subject_key", "is_hidden")
    assert list(found) == [("view_hidden", "list", "silent_guests", True)] * 2


def test_a_name_changed_meanwhile_is_not_overwritten_unasked(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    """An upload in between changes no name, so it refuses nothing."""
    client = enter(cast.operations_manager)
    row = made(client, "guests")
    form = client.get(page(row, "edit")).context["form"]
    sent = {**NAMES, "note": "Mine", "seen": form["seen"].value()}
    CustomerList.objects.filter(pk=row.pk).update(size=7)
    with pghistory.context(actor="zoe", reason="r"):
        CustomerList.objects.filter(pk=row.pk).update(note="Zoe's note")
    refused = client.post(page(row, "edit"), sent)
    assert refused.status_code == 200
    text = refused.content.decode()
    assert "zoe changed this since you opened it" in text
    assert "Zoe&#x27;s note" in text
    row.refresh_from_db()
    assert row.note == "Zoe's note"
    again = {**sent, "seen": refused.context["form"]["seen"].value()}
    assert client.post(page(row, "edit"), again).status_code == 302
    row.refresh_from_db()
    assert row.note == "Mine"


def test_naming_and_retiring(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    row = made(client, "guests")
    named = {**NAMES, "label_en": "Guests", "note": "For the May fair"}
    assert client.post(page(row, "edit"), named).status_code == 302
    row.refresh_from_db()
    assert (row.label_en, row.note, row.key) == ("Guests", "For the May fair", "guests")
    assert client.post(page(row, "retire"), {"reason": " "}).status_code == 200
    row.refresh_from_db()
    assert row.retired_at is None
    assert client.post(page(row, "retire"), {"reason": "over"}).status_code == 302
    row.refresh_from_db()
    assert row.retired_at is not None
    response = client.get(page(row))
    assert response.context["urls"] == {}
    for part in ("upload", "edit", "retire"):
        assert client.get(page(row, part)).status_code == 404, part


def test_a_list_that_a_rule_reads_is_not_retired(transactional_db: None, enter: Enter) -> None:
    """S05."""
    cast, world = make_cast(), World()
    world.record("customers", {"customer_id": "anna"})
    client = enter(cast.operations_manager)
    row = made(client, "guests")
    world.apply(
        {"segments": [{"key": "fair", "purpose": "service", "visibility": "internal",
                       "rule": {"list": "guests", "cmp": "member"}}]}
    )  # fmt: skip
    sent = client.post(page(row, "retire"), {"reason": "over"})
    assert "segment:fair" in str(sent.context["form"].non_field_errors())
    row.refresh_from_db()
    assert row.retired_at is None
    used = client.get(page(row)).context["related"][0][1]
    assert [str(kind) for kind, _name, _direct in used] == ["Segment"]


def test_a_group_is_saved_as_a_list(transactional_db: None, enter: Enter) -> None:
    make_desk_world()
    cast = make_cast()
    client = enter(cast.operations_manager)
    address = reverse(SAVE) + "?subject=segment:spenders"
    form = client.get(address).context["form"]
    assert form["label_zh_hans"].value() == "消费用户"
    sent = {"key": "spent", **NAMES, "request_key": form["request_key"].value()}
    first, second = client.post(address, sent), client.post(address, sent)
    assert first.status_code == second.status_code == 302
    job = done(Job.objects.get(kind="list_save"))
    row = CustomerList.objects.get()
    assert (row.key, row.size, row.is_hidden) == ("spent", SPENDERS, False)
    assert job.result["added"] == SPENDERS
    hidden = reverse(SAVE) + f"?subject=segment:{HIDDEN[0]}"
    assert "restricted" in client.get(hidden).content.decode()
    client.post(hidden, {"key": "still", **NAMES, "request_key": "another"})
    done(Job.objects.order_by("-pk")[0])
    saved = CustomerList.objects.get(key="still")
    assert (saved.is_hidden, saved.size) == (True, 20)
    assert Job.objects.order_by("-pk")[0].is_hidden
    assert AccessRecord.objects.filter(subject_key=HIDDEN[0]).count() == 1


def test_cancelling_at_the_end_leaves_the_list_empty(
    transactional_db: None, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that says it was cancelled has changed nothing."""
    make_desk_world()
    client = enter(make_cast().operations_manager)
    sent = {"key": "spent", **NAMES, "request_key": "once"}
    client.post(reverse(SAVE) + "?subject=segment:spenders", sent)

    def write_and_cancel(*args: Any, **kwargs: Any) -> Any:
        written = save_members(*args, **kwargs)
        Job.objects.update(cancel_requested_at=real_now())
        return written

    monkeypatch.setattr(list_saves, "save_members", write_and_cancel)
    job = execute_job(Job.objects.get(), clock=real_now)
    assert job.status == Job.Status.CANCELLED
    assert CustomerList.objects.get().size == 0


def test_a_hidden_group_cannot_be_saved_without_the_right(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    cast.analyst.user_permissions.add(Permission.objects.get(codename="add_customerlist"))
    address = reverse(SAVE) + f"?subject=segment:{HIDDEN_KEY}"
    sent = {"key": "stolen", **NAMES, "request_key": "k"}
    assert enter(cast.analyst).get(address).status_code == 404
    assert enter(cast.analyst).post(address, sent).status_code == 404
    assert not CustomerList.objects.exists()
    assert not Job.objects.exists()


def test_list_sizes_keep_to_the_row_scope(cast: Cast, shop: Shop, enter: Enter) -> None:
    away = Customer.objects.create(
        batch=shop.customers[0].batch, external_id="AWAY", home_store="S2", ordinal=900
    )
    file = ids("C1000", away.external_id)
    row = made(enter(cast.operations_manager), "guests", file=file)
    done(Job.objects.get())
    own = 1 if shop.customers[0].home_store == OWN_STORE else 0
    cast.store_manager.user_permissions.add(Permission.objects.get(codename="view_customerlist"))
    client = enter(cast.store_manager)
    listing = client.get(reverse("admin:segmentation_customerlist_changelist"))
    assert [found.shown_size for found in listing.context["cl"].result_list] == [own]
    members = client.get(page(row, "members"))
    assert members.context["total"] == str(own)
    assert "AWAY" not in members.content.decode()
