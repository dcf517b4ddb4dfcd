"""Customer lists: filled by upload with a report, read by rules, pinned by runs."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyroaring import BitMap

from config.clock import real_now
from membership.queries import segment_document
from membership.services.explain import explain
from membership.services.preview import preview
from membership.services.verification import verify_run
from segmentation.domain.definitions import Label
from segmentation.domain.errors import TierwiseError
from segmentation.models import Customer, CustomerList, CustomerListMember, Job
from segmentation.services.customer_lists import (
    create_list,
    list_members,
    rename_list,
    retire_list,
    users_of_list,
)
from segmentation.services.jobs import execute_job, job_folder
from segmentation.services.list_members import save_members
from segmentation.services.list_uploads import request_upload, upload_list
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)

ZONE = ZoneInfo("Asia/Shanghai")
LABEL = Label("Friends of the house", "老友")
WHO: dict[str, Any] = {"actor": "operations_manager", "reason": "test"}


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(CLUB)
    for number in range(6):
        found.record("customers", {"customer_id": f"C{number}"})
    return found


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def new_list(cast: Cast, key: str = "friends", *, is_hidden: bool = False) -> CustomerList:
    return create_list(
        key=key, label=LABEL, is_hidden=is_hidden, note="", viewer=cast.operations_manager, **WHO
    )


def ask(cast: Cast, row: CustomerList, text: str | bytes, mode: str, key: str | None = None) -> Job:
    content = text if isinstance(text, bytes) else text.encode()
    return request_upload(
        row, file=io.BytesIO(content), mode=mode, user=cast.operations_manager,
        now=real_now(), key=key, **WHO,
    )  # fmt: skip


def upload(cast: Cast, row: CustomerList, text: str | bytes, mode: str) -> dict[str, Any]:
    done = execute_job(ask(cast, row, text, mode), clock=real_now)
    assert done.status == Job.Status.DONE, done.error
    return dict(done.result)


def on(row: CustomerList) -> set[str]:
    rows = CustomerListMember.objects.filter(list=row)
    return set(rows.values_list("customer__external_id", flat=True))


def test_add_replace_remove(world: World, cast: Cast) -> None:
    """Every id of the file is counted once, and the counts are those of the rows."""
    row = new_list(cast)
    added = upload(cast, row, "customer_id\nC0\nC1\nC1\nnobody\n\n  C2 \n", "add")
    assert {name: added[name] for name in added if added[name]} == {
        "list": "friends", "mode": "add", "read": 5, "added": 3, "unknown": 1, "duplicates": 1,
        "size": 3, "rejected": {"duplicate": 1, "unknown_customer": 1},
    }  # fmt: skip
    assert on(row) == {"C0", "C1", "C2"}
    again = upload(cast, row, "C1\nC3", "add")
    assert (again["added"], again["already_there"], again["size"]) == (1, 1, 4)
    removed = upload(cast, row, "C0\nC5\nC0\n", "remove")
    assert (removed["removed"], removed["not_there"], removed["duplicates"]) == (1, 1, 1)
    assert on(row) == {"C1", "C2", "C3"}
    replaced = upload(cast, row, "name,Customer_ID\nAnn,C3\nBob,C4\nCat\n", "replace")
    assert (replaced["added"], replaced["already_there"], replaced["dropped"]) == (1, 1, 2)
    assert (replaced["invalid"], replaced["rejected"]) == (1, {"column_count": 1})
    assert on(row) == {"C3", "C4"}
    row.refresh_from_db()
    assert row.size == replaced["size"] == len(list_members(row)) == 2
    for result in (added, again, removed, replaced):
        parts = ("added", "already_there", "removed", "not_there", "unknown", "duplicates")
        assert result["read"] == sum(result[part] for part in (*parts, "invalid"))


def test_rejects_file(world: World, cast: Cast) -> None:
    """Every refused line with its number and reason, harmless for spreadsheets."""
    row = new_list(cast)
    job = execute_job(ask(cast, row, "C0\n=1+1\n\nC0\n", "add"), clock=real_now)
    text = (job_folder(job.pk) / "result").read_text(encoding="utf-8-sig")
    rows = csv.DictReader(io.StringIO(text))
    lines = [(one["line"], one["reason_code"], one["raw"]) for one in rows]
    assert lines == [("2", "unknown_customer", "'=1+1"), ("4", "duplicate", "C0")]
    assert job.result_file == "rejects-friends.csv"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n \n", "empty_file"),
        (b"a,b\nC0,C1\n", "missing_column"),
        ("C0\n客户".encode("gb18030"), "not_utf8"),
    ],
)
def test_unreadable_files_change_nothing(
    world: World, cast: Cast, content: bytes, code: str
) -> None:
    row = new_list(cast)
    upload(cast, row, "C0", "add")
    job = execute_job(ask(cast, row, content, "replace"), clock=real_now)
    assert (job.status, job.error["code"]) == (Job.Status.FAILED, code)
    assert on(row) == {"C0"}


def test_double_click_and_restart(world: World, cast: Cast) -> None:
    """One key is one job; an attempt after the commit reports what the first one did."""
    row = new_list(cast)
    job = ask(cast, row, "C0\nC1", "add", key="k")
    assert ask(cast, row, "C2", "add", key="k").pk == job.pk
    job = execute_job(job, clock=real_now)
    assert job.result["added"] == 2

    class Work:
        def __init__(self) -> None:
            self.job = job
            self.parameters = job.parameters

    assert upload_list(Work()) == job.result  # type: ignore[arg-type]
    assert on(row) == {"C0", "C1"}


def test_save_members(world: World, cast: Cast) -> None:
    """The selection of a page becomes a list."""
    row = new_list(cast)
    ordinals = BitMap(
        Customer.objects.filter(external_id__in=["C1", "C4"]).values_list("ordinal", flat=True)
    )
    written = save_members(row, ordinals, mode="replace", **WHO)
    assert (written.read, written.added, written.size) == (2, 2, 2)
    assert list_members(row) == ordinals


def test_rights(world: World, cast: Cast) -> None:
    """Only who may change lists does; hidden lists need the right to see hidden things."""
    row = new_list(cast)
    for person in (cast.analyst, cast.support_agent, cast.store_manager, cast.auditor):
        file = io.BytesIO(b"C0")
        with pytest.raises(TierwiseError) as caught:
            request_upload(row, file=file, mode="add", user=person, now=real_now(), key=None, **WHO)
        assert caught.value.code == "forbidden"
        with pytest.raises(TierwiseError):
            retire_list(row, viewer=person, now=real_now(), **WHO)
    assert not Job.objects.exists()
    hidden = new_list(cast, "quiet", is_hidden=True)
    assert ask(cast, hidden, "C0", "add").is_hidden


def test_names_and_keys(world: World, cast: Cast) -> None:
    row = new_list(cast)
    refused = {"Friends": "invalid_key", "1st": "invalid_key", "friends": "duplicate_key"}
    for key, code in refused.items():
        with pytest.raises(TierwiseError) as caught:
            new_list(cast, key)
        assert caught.value.code == code
    rename_list(row, label=Label("VIP", "贵宾"), note="n", viewer=cast.operations_manager, **WHO)
    row.refresh_from_db()
    assert (row.label_en, row.label_zh_hans, row.note, row.key) == ("VIP", "贵宾", "n", "friends")
    with pytest.raises(TierwiseError) as caught:
        rename_list(row, label=Label("", "x"), note="", viewer=cast.operations_manager, **WHO)
    assert caught.value.code == "out_of_range"


def friends_segment(**more: Any) -> dict[str, Any]:
    blocked = {"list": "blocked", "cmp": "member"}
    rule = {"all": [{"list": "friends", "cmp": "member"}, {"not": blocked}]}
    return {
        "segments": [
            {"key": "invited", "purpose": "service", "visibility": "internal", "rule": rule, **more}
        ]
    }


def test_a_run_reads_and_pins_lists(world: World, cast: Cast) -> None:
    """The members of the moment count, also in a preview; later changes don't touch an old run."""
    friends, blocked = new_list(cast), new_list(cast, "blocked")
    upload(cast, friends, "C0\nC1\nC2", "add")
    upload(cast, blocked, "C2", "add")
    world.run("2026-03-01")
    drafted = preview(
        friends_segment(), subject="segment:invited", viewer=cast.analyst, now=real_now()
    )
    assert set(drafted.sample) == {"C0", "C1"}
    world.apply(friends_segment())
    run = world.run("2026-03-01")
    assert world.members(run, "invited") == {"C0", "C1"}
    upload(cast, friends, "C5", "replace")
    assert verify_run(run.pk, now=real_now()).equal
    for customer, verdict, en, zh in (
        ("C0", True, "is on the list Friends of the house", "老友"),
        ("C5", False, "is not on the list Friends of the house", "老友"),
    ):
        told = explain(customer, subject="segment:invited", run=run, zone=ZONE, currency="CNY")
        assert told["verdict"] is verdict
        assert en in told["sentence"]["en"]
        assert zh in told["sentence"]["zh-hans"]
        leaf = told["tree"]["children"][0]
        assert (leaf["leaf"], leaf["cmp"], leaf["value"], leaf["verdict"]) == (
            "list:friends", "member", True, verdict,
        )  # fmt: skip
    again = world.run("2026-03-02")
    assert world.members(again, "invited") == {"C5"}
    assert segment_document("invited", as_of=day("2026-03-01"))["members"] == ["C0", "C1"]


def test_a_used_list_can_not_be_retired(world: World, cast: Cast) -> None:
    """S05: refused with the dependents listed, hidden ones only to those who may know of them."""
    friends, blocked = new_list(cast), new_list(cast, "blocked")
    world.apply(friends_segment(visibility="hidden"))
    assert [str(ref) for ref in users_of_list("friends")] == ["segment:invited"]
    with pytest.raises(TierwiseError) as caught:
        retire_list(friends, viewer=cast.operations_manager, now=real_now(), **WHO)
    assert caught.value.code == "has_dependents"
    assert "segment:invited" in caught.value.message
    friends.refresh_from_db()
    assert friends.retired_at is None
    world.apply({"segments": [{"key": "invited", "retired": True}]})
    retire_list(friends, viewer=cast.operations_manager, now=real_now(), **WHO)
    with pytest.raises(TierwiseError) as caught:
        world.apply(friends_segment())
    assert [one.code for one in caught.value.problems] == ["unknown_list"]
    job = execute_job(ask(cast, friends, "C0", "add"), clock=real_now)
    assert (job.status, job.error["code"]) == (Job.Status.FAILED, "retired")
    assert blocked.pk


def test_hidden_lists_stay_out_of_internal_segments(world: World, cast: Cast) -> None:
    new_list(cast)
    new_list(cast, "blocked", is_hidden=True)
    with pytest.raises(TierwiseError) as caught:
        world.apply(friends_segment())
    assert [(one.path, one.code) for one in caught.value.problems] == [
        ("/segments/0/rule/all/1/not", "forbidden_input")
    ]
    with pytest.raises(TierwiseError) as caught:
        preview(friends_segment(), subject="segment:invited", viewer=cast.analyst, now=real_now())
    assert [(one.path, one.code) for one in caught.value.problems] == [
        ("/segments/0/rule/all/1/not", "unknown_list")
    ]
    world.apply(friends_segment(visibility="hidden"))
