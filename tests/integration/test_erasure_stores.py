"""Erasure through every store (case S11): after it the person is searched for in every table and
every file, decoded, and their position in every bitmap. Each search is made before as well, so it
is known to find what it looks for."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from pyroaring import BitMap

from config.clock import real_now
from membership.queries import load_definition_set, segment_document
from membership.services import erasure, recompute
from membership.services.merging import merge_customers
from membership.services.publish_run import publish
from membership.services.recompute import execute_next_run, request_run
from membership.services.verification import verify_run
from segmentation.engine import run_erasure as files
from segmentation.engine.results import run_folder
from segmentation.engine.run_columns import open_columns
from segmentation.models import (
    Customer,
    Job,
    Order,
    PrivacyRequest,
    Run,
    RunErasure,
    SegmentResult,
)
from segmentation.services import privacy, run_erasure
from segmentation.services.access_log import Looker
from segmentation.services.data_quality import request_quality_report
from segmentation.services.erasure_log import FILE, log_erasure, logged_erasures
from segmentation.services.exporting import request_export
from segmentation.services.file_search import holds_name
from segmentation.services.jobs import LEASE, execute_job, job_folder
from segmentation.services.leases import lease_owner
from segmentation.services.merge_moves import Writer
from tests.fixtures.world import World, day

from .test_erasure import (
    ID,
    TRACES,
    erase,
    leave_traces_everywhere,
    person,
    rows_with_traces,
    run_again,
)
from .test_erasure import world as world  # the fixture

pytestmark = pytest.mark.django_db(transaction=True)
BY = privacy.Bringer("support_agent", "admin")


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)


def decoded(path: Path) -> str:
    """A file as text, whatever form it has."""
    start = path.read_bytes()[:4]
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            return "".join(archive.read(name).decode() for name in archive.namelist())
    if start == b"PAR1":
        return str(pq.read_table(path).to_pylist()) + str(pq.read_metadata(path).to_dict())
    if path.suffix == ".arrow":
        return str(pa.ipc.open_file(pa.memory_map(str(path))).read_all().to_pydict())
    return path.read_bytes().decode("utf-8", "replace")


def files_with_traces(names: tuple[str, ...] = TRACES) -> set[str]:
    folder = Path(settings.VAR_DIR)
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(name in decoded(path) for name in names)
    }


def bitmaps_with(ordinal: int) -> set[tuple[int, str, str]]:
    return {
        (result.run_id, result.segment.key, part)
        for result in SegmentResult.objects.select_related("segment")
        for part in ("members", "entered", "left")
        if ordinal in BitMap.deserialize(bytes(getattr(result, part)))
    }


def rows_at(ordinal: int) -> set[str]:
    """Files below VAR_DIR with a row of this bitmap position."""
    folder = Path(settings.VAR_DIR)
    found = set()
    for path in folder.rglob("*.parquet"):
        if "ordinal" not in pq.read_schema(path).names:
            continue
        if ordinal in pq.read_table(path, columns=["ordinal"])["ordinal"].to_pylist():
            found.add(str(path.relative_to(folder)))
    for path in folder.rglob("*.arrow"):
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if ordinal in table["ordinal"].to_pylist():
            found.add(str(path.relative_to(folder)))
    return found


def make_export(user: User, *, file_format: str, **query: list[str]) -> Job:
    looker = Looker(user.get_username(), "admin", user)
    asked = request_export(
        "customers", parameters={"query": query}, file_format=file_format, user=user,
        looker=looker, key=None, now=real_now(),
    )  # fmt: skip
    done = execute_job(asked, clock=real_now)
    assert done.status == Job.Status.DONE, done.error
    return done


def test_no_table_no_file_no_bitmap_has_the_person_any_more(world: World, admin_user: User) -> None:
    leave_traces_everywhere(User.objects.create_user("support_agent"))
    ordinal = person().ordinal
    twice = {"customer_id": ID, "placed_at": "2026-01-23T10:00", "amount": "7"}
    world.record(
        "orders", {**twice, "order_id": "ORD-zebra-8"}, {**twice, "order_id": "ORD-zebra-9"}
    )
    run_again("2026-02-03")
    assert world.run("2026-01-25").status == Run.Status.HISTORICAL
    for run in Run.objects.exclude(status=Run.Status.FAILED):
        assert run.definition_set is not None
        open_columns(run, load_definition_set(run.definition_set)[0], currency="CNY")
    csv_file = make_export(admin_user, file_format="csv")
    workbook = make_export(admin_user, file_format="xlsx")
    of_others = make_export(admin_user, file_format="csv", q=["C1"])
    long_ago = real_now() - timedelta(hours=1)
    Job.objects.filter(pk=of_others.pk).update(finished_at=long_ago)
    report = request_quality_report(
        user=admin_user, looker=Looker("admin", "admin", admin_user), key=None, now=real_now(),
        project_now=day("2026-02-03"),
    )  # fmt: skip
    execute_job(report, clock=real_now)
    report.refresh_from_db()
    assert report.result["duplicates"]["sample"][0]["customer"] == ID
    before = files_with_traces()
    exported = {f"jobs/{job.pk}/result" for job in (csv_file, workbook)}
    assert exported <= before
    assert f"jobs/{of_others.pk}/result" not in before
    runs = {str(pk) for pk in Run.objects.values_list("pk", flat=True)}
    stored = {name.split("/")[1] for name in before if name.startswith("runs/")}
    assert stored == runs
    assert {"snapshot.parquet", "memberships.parquet", "overrides.parquet"} <= {
        Path(name).name for name in rows_at(ordinal)
    }
    assert len({run for run, _, _ in bitmaps_with(ordinal)}) == len(runs)
    others = {
        result.pk: BitMap.deserialize(bytes(result.members)) - BitMap([ordinal])
        for result in SegmentResult.objects.all()
    }

    erase()

    assert rows_with_traces() == {}
    assert files_with_traces() == set()
    assert rows_at(ordinal) == set()
    assert bitmaps_with(ordinal) == set()
    # ... and nothing else is gone: count = bitmap (case S08), the others' export is there.
    for result in SegmentResult.objects.all():
        assert BitMap.deserialize(bytes(result.members)) == others[result.pk]
        assert result.size == len(others[result.pk])
        assert result.entered_count == len(BitMap.deserialize(bytes(result.entered)))
        assert result.left_count == len(BitMap.deserialize(bytes(result.left)))
    assert (job_folder(of_others.pk) / "result").is_file()
    of_others.refresh_from_db()
    csv_file.refresh_from_db()
    assert (bool(of_others.result_file), csv_file.result_file) == (True, "")
    report.refresh_from_db()
    assert report.result["duplicates"]["sample"] == []
    for run in Run.objects.exclude(status=Run.Status.FAILED):
        found = verify_run(run.pk, now=real_now())
        assert (found.equal, found.erased) == (True, 1), run
    members = segment_document("spenders", as_of=day("2026-02-01"))
    assert members["size"] == len(members["members"]) == 11


def test_a_changed_hash_file_is_not_made_good_by_an_erasure(world: World) -> None:
    run = Run.objects.get()
    path = run_folder(run.pk) / "hashes.parquet"
    table = pq.read_table(path)
    changed = pa.array([int(value) ^ 1 for value in table["hash"].to_pylist()], pa.uint64())
    pq.write_table(table.set_column(1, "hash", changed), path)
    erase()
    found = verify_run(run.pk, now=real_now())
    assert not found.equal
    assert not RunErasure.objects.exists()


def test_killed_between_the_files_of_a_run_it_is_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the bitmaps and the note, before the files; then in the midst of the files."""
    ordinal = person().ordinal
    asked = privacy.request_erasure(person(), confirmation=ID, by=BY, now=real_now())
    erasure.erase_from_database(asked, now=real_now())

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_erasure, "remove_from_files", killed)
        with pytest.raises(KeyboardInterrupt):
            erasure.erase_from_files(now=real_now())
    run = Run.objects.get()
    assert bitmaps_with(ordinal) == set()
    assert rows_at(ordinal)
    whole = files._without
    done: list[Path] = []

    def killed_second(path: Path, *rest: Any) -> bool:
        if done:
            raise KeyboardInterrupt
        done.append(path)
        return whole(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_without", killed_second)
        with pytest.raises(KeyboardInterrupt):
            erasure.erase_from_files(now=real_now())
    erasure.erase_from_files(now=real_now())
    assert rows_at(ordinal) == set()
    assert files_with_traces() == set()
    assert RunErasure.objects.get(run=run).customers == 1
    found = verify_run(run.pk, now=real_now())
    assert (found.equal, found.erased) == (True, 1)
    asked.refresh_from_db()
    assert asked.done_at is not None
    assert "rest" not in asked.details


def test_ten_erasures_cost_one_pass_over_the_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[list[int]] = []

    def counted(ordinals: list[int]) -> None:
        passes.append(ordinals)
        run_erasure.remove_from_runs(ordinals)

    monkeypatch.setattr(erasure, "remove_from_runs", counted)
    jobs = []
    for name in (ID, "C1", "C2"):
        customer = Customer.objects.get(external_id=name)
        asked = privacy.request_erasure(customer, confirmation=name, by=BY, now=real_now())
        erasure.erase_from_database(asked, now=real_now())
        jobs.append(Job.objects.get(pk=asked.details["job"]))
    for job in jobs:
        done = execute_job(job, clock=real_now)
        assert done.status == Job.Status.DONE, done.error
    assert [len(ordinals) for ordinals in passes] == [3]
    assert verify_run(Run.objects.get().pk, now=real_now()).erased == 3


def _erase_and_close() -> None:
    try:
        erase()
    finally:
        connection.close()


def test_a_run_that_was_computed_with_them_starts_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure commits while a run has everything computed and is about to publish."""
    ordinal = person().ordinal

    def late(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(recompute, "publish", publish)
        # Beside the run as in life: what its thread has open is interrupted once the run is gone.
        with ThreadPoolExecutor(1) as beside:
            beside.submit(_erase_and_close).result()
        publish(*args, **options)

    monkeypatch.setattr(recompute, "publish", late)
    asked = request_run(as_of=day("2026-02-05"), actor="tester", now=real_now())
    first = execute_next_run(clock=real_now)
    assert first is not None
    assert (first.status, first.attempts) == (Run.Status.QUEUED, 0)
    assert not SegmentResult.objects.filter(run=asked).exists()
    again = execute_next_run(clock=real_now)
    assert again is not None
    assert (again.pk, again.status) == (asked.pk, Run.Status.PUBLISHED)
    assert bitmaps_with(ordinal) == set()
    assert rows_at(ordinal) == set()
    assert files_with_traces() == set()


def test_an_export_under_way_starts_again_and_one_that_ended_meanwhile_goes(
    world: World, admin_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = erasure._jobs_naming
    ended: list[Job] = []
    running: list[Job] = []

    def search_then_end(external_id: str) -> list[int]:
        found = named(external_id)
        ended.append(make_export(admin_user, file_format="csv"))
        running.append(Job.objects.create(
            kind="export", actor="admin", requested_at=real_now(), status=Job.Status.RUNNING,
            lease_owner=lease_owner(), lease_until=real_now() + LEASE, attempts=1,
        ))  # fmt: skip
        return found

    monkeypatch.setattr(erasure, "_jobs_naming", search_then_end)
    asked = privacy.request_erasure(person(), confirmation=ID, by=BY, now=real_now())
    erasure.erase_from_database(asked, now=real_now())
    erasure.erase_from_files(now=real_now())
    under_way = Job.objects.get(pk=running[0].pk)
    assert (under_way.status, under_way.attempts) == (Job.Status.QUEUED, 0)
    assert under_way.lease_owner == ""
    assert ended
    assert not job_folder(ended[0].pk).exists()
    assert files_with_traces() == set()


def test_a_restored_backup_is_erased_again_and_a_stranger_of_the_same_id_is_not(
    world: World,
) -> None:
    """The backup from before: this database as if the erasure had not happened, with the file of
    erasures that lies outside of it."""
    erase()
    log = (Path(settings.VAR_DIR) / FILE).read_text()
    assert ID not in log
    assert [found.reference for found in logged_erasures()] == [privacy.erased_reference(ID)]
    world.order(ID, "2026-01-25T10:00", "99")
    assert erasure.erase_again(now=real_now()) == 0  # the id came back: a stranger
    assert person().erased_at is None
    PrivacyRequest.objects.filter(kind="erase").delete()  # what a backup from before lacks
    assert erasure.erase_again(now=real_now()) == 1
    assert rows_with_traces() == {}
    assert files_with_traces() == set()
    assert not Order.objects.filter(customer__external_id=ID).exists()
    again = PrivacyRequest.objects.get(kind="erase")
    assert (again.actor, again.done_at is not None) == ("restore", True)
    assert erasure.erase_again(now=real_now()) == 0
    # A line cut off by a crash is passed over.
    with (Path(settings.VAR_DIR) / FILE).open("a") as file:
        file.write('{"receipt": "pr_')
    assert erasure.erase_again(now=real_now()) == 0


def test_what_killed_workers_left_goes_too(world: World) -> None:
    ended = run_again("2026-02-03")
    for name in (f".writing-{ended.pk}-0a0b", ".verify-old", ".verify-new"):
        shutil.copytree(run_folder(ended.pk), run_folder(ended.pk).with_name(name))
    os.utime(run_folder(ended.pk).with_name(".verify-old"), (0, 0))
    erase()
    left = {path.name for path in run_folder(0).parent.iterdir() if path.name.startswith(".")}
    assert left == {".verify-new"}  # its process is at work


def test_files_that_name_an_id_merged_during_the_search_go_too(
    world: World, admin_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.order("SECOND", "2026-01-25T10:00", "99")
    second = Customer.objects.get(external_id="SECOND")
    export = make_export(admin_user, file_format="csv", q=["SECOND"])
    Job.objects.filter(pk=export.pk).update(finished_at=real_now() - timedelta(days=1))
    named = erasure._jobs_naming
    searches: list[list[int]] = []

    def search_then_merge(external_id: str) -> list[int]:
        searches.append(named(external_id))
        if len(searches) == 1:
            merge_customers(
                person().pk, second.pk, reason="same",
                writer=Writer("admin", "x", real_now(), real_now()),
            )  # fmt: skip
        return searches[-1]

    monkeypatch.setattr(erasure, "_jobs_naming", search_then_merge)
    asked = privacy.request_erasure(person(), confirmation=ID, by=BY, now=real_now())
    erasure.erase_from_database(asked, now=real_now())
    erasure.erase_from_files(now=real_now())
    assert searches[0] == []
    assert not job_folder(export.pk).exists()
    assert files_with_traces(("SECOND",)) == set()


def test_a_restore_erases_nobody_who_took_the_id_later(world: World) -> None:
    """The backup is from before the customer was known at all; the id comes in after the restore,
    and the restore is repeated."""
    erase()
    erase_lines = (Path(settings.VAR_DIR) / FILE).read_text()
    PrivacyRequest.objects.filter(kind="erase").delete()
    assert erasure.erase_again(now=real_now()) == 0  # nobody of that id is there
    noted = PrivacyRequest.objects.get(kind="erase")
    assert noted.customer_ref == privacy.erased_reference(ID)
    world.order(ID, "2026-01-25T10:00", "99")
    assert erasure.erase_again(now=real_now()) == 0
    assert person().erased_at is None
    assert (Path(settings.VAR_DIR) / FILE).read_text() == erase_lines
    # Erased twice, both before the backup: one person is there, both receipts are known after.
    erase()
    world.order(ID, "2026-01-25T10:00", "99")
    PrivacyRequest.objects.filter(kind="erase").delete()
    assert erasure.erase_again(now=real_now()) == 1
    world.order(ID, "2026-01-25T10:00", "99")
    assert erasure.erase_again(now=real_now()) == 0
    assert person().erased_at is None


def test_a_restored_person_with_two_ids_leaves_no_id_in_the_receipts(world: World) -> None:
    """The alias comes before the other id: then its receipt erases both."""
    world.order("SECOND", "2026-01-25T10:00", "99")
    both = person(), Customer.objects.get(external_id="SECOND")
    merge_customers(
        both[1].pk, both[0].pk, reason="same", writer=Writer("admin", "x", real_now(), real_now())
    )
    asked = privacy.request_erasure(both[1], confirmation="SECOND", by=BY, now=real_now())
    # What a restore of the moment before has: the people, the log and no receipts.
    log_erasure(receipt=asked.receipt, reference=privacy.erased_reference("SECOND"), now=real_now())
    log_erasure(
        receipt=f"{asked.receipt}+0", reference=privacy.erased_reference(ID), now=real_now()
    )
    asked.delete()
    ids = Customer.objects.filter(external_id__in=(ID, "SECOND")).order_by("pk")
    assert [row.external_id for row in ids] == [ID, "SECOND"]
    assert erasure.erase_again(now=real_now()) == 1
    refs = set(PrivacyRequest.objects.filter(kind="erase").values_list("customer_ref", flat=True))
    assert refs == {privacy.erased_reference(ID), privacy.erased_reference("SECOND")}
    assert erasure.erase_again(now=real_now()) == 0


def test_a_line_behind_one_that_was_cut_off_counts(world: World) -> None:
    (Path(settings.VAR_DIR) / FILE).write_text('{"receipt": "pr_cut')
    erase()
    assert [found.reference for found in logged_erasures()] == [privacy.erased_reference(ID)]


@pytest.mark.parametrize("name", ["C-77", "2000", "李雷", "a&b <c>", 'say "hi"', '李"雷'])
def test_a_name_is_found_in_every_form_of_file(tmp_path: Path, name: str) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    chinese, table, document = tmp_path / "gb", tmp_path / "table", tmp_path / "json"
    row = f"x,{name},y\n"
    plain.write_text("z" * 3_000_000 + "," + row)
    packed.write_bytes(gzip.compress(row.encode()))
    chinese.write_bytes(row.encode("gb18030"))
    pq.write_table(pa.table({"id": [name]}), table)
    document.write_text(json.dumps({"id": name}))
    for path in (plain, packed, chinese, table, document):
        assert holds_name(path, {name}), path
        assert not holds_name(path, {"absent"}), path
    other = tmp_path / "other"
    other.write_text("120001,C-777,李\n")
    assert not holds_name(other, {name})
    broken = tmp_path / "broken"
    broken.write_bytes(gzip.compress(b"nothing" * 1000)[:-8])
    assert holds_name(broken, {name})  # what can't be read can't be cleared
