"""Exports: what is in the files, for whom, and that every one is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import translation

from segmentation.admin.lists import seen_list_sizes
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import (
    AccessRecord,
    Customer,
    CustomerList,
    CustomerListMember,
    Job,
    Objection,
    Segment,
)
from segmentation.services.exporting import export_sources, may_download_export
from tests.fixtures.cast import OWN_STORE, Cast, make_cast
from tests.fixtures.exports import ask_export, done, exported, result_of
from tests.fixtures.sheets import read_csv, xlsx_table
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)
LAYERING = {
    "key": "value", "metric": "spend", "cuts": ["100", "1000"], "layers": ["low", "mid", "high"],
}  # fmt: skip


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    """Four customers in two stores; `spenders` has anna and bert, the hidden `others` the rest."""
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply({**CLUB, "layerings": [LAYERING]})
    people = (
        ("anna", "=HYPERLINK(0)", "013800138000", OWN_STORE),
        ("bert", "Bert", "13900000002", "S2"),
        ("cleo", "Cleo", "13900000003", OWN_STORE),
        ("dirk", "Dirk", "13900000004", "S2"),
    )
    for name, full, phone, store in people:
        found.record(
            "customers",
            {"customer_id": name, "name": full, "phone": phone, "home_store": store},
        )
    found.order("anna", "2026-01-10T09:00:00", "150.00", status="paid")
    found.order("bert", "2026-01-11T09:00:00", "1150.00")
    found.order("cleo", "2026-01-12T09:00:00", "20.00")
    found.run("2026-01-15")
    return found


def record_kinds() -> list[tuple[str, str, str, int | None]]:
    rows = AccessRecord.objects.order_by("pk")
    return [(row.kind, row.subject_kind, row.subject_key, row.rows) for row in rows]


def test_segment_members_with_as_of_run_and_interval(world: World, cast: Cast) -> None:
    table = read_csv(exported("segment", user=cast.operations_manager, key="spenders"))
    assert table.column("Customer ID") == ["anna", "bert"]
    assert table.column("Entered at this run") == ["yes", "yes"]
    assert table.lines["As of"] == "2026-01-15 00:00:00"
    assert table.lines["Visibility"] == "internal: all staff"
    assert table.lines["Interval of “spend”"] == (
        "last 30 days, today included: from 2025-12-17 00:00 to before 2026-01-15 00:00"
    )
    assert not {"Customer name", "Phone", "E-mail", "Birth date"} & set(table.titles)
    assert record_kinds() == [("export", "segment", "spenders", 2)]


def test_the_same_in_xlsx_and_chinese(world: World, cast: Cast) -> None:
    with translation.override("zh-hans"):
        job = ask_export(
            "segment", user=cast.operations_manager, key="spenders", file_format="xlsx"
        )
    table = xlsx_table(result_of(done(job)))
    assert table.lines["计算批次"] == str(Segment.objects.get(key="spenders").results.get().run_id)
    assert [row[0] for row in table.rows] == ["anna", "bert"]


def test_personal_columns_need_their_right_and_are_written_down(world: World, cast: Cast) -> None:
    path = exported("segment", user=cast.operations_manager, key="spenders", with_personal=True)
    table = read_csv(path)
    assert table.column("Phone") == ["013800138000", "13900000002"]
    assert table.column("Customer name") == ["'=HYPERLINK(0)", "Bert"]
    assert record_kinds() == [("export_personal", "segment", "spenders", 2)]
    with pytest.raises(TierwiseError) as refused:
        ask_export("segment", user=cast.analyst, key="spenders", with_personal=True)
    assert refused.value.code == "forbidden"
    assert Job.objects.count() == 1


def test_a_hidden_segment_does_not_exist_for_others(world: World, cast: Cast) -> None:
    for key in ("others", "nothing"):
        with pytest.raises(NotFoundError):
            ask_export("segment", user=cast.analyst, key=key)
    assert not Job.objects.exists()
    job = done(ask_export("segment", user=cast.operations_manager, key="others"))
    assert job.is_hidden is True
    assert read_csv(result_of(job)).column("Customer ID") == ["cleo", "dirk"]
    record = AccessRecord.objects.get()
    assert (record.kind, record.is_hidden, record.rows) == ("export_hidden", True, 2)
    assert (record.actor, str(record.address)) == ("operations_manager", "127.0.0.1")


def test_hidden_and_personal_is_found_by_either_question(world: World, cast: Cast) -> None:
    done(ask_export("segment", user=cast.operations_manager, key="others", with_personal=True))
    assert [kind for kind, *_rest in record_kinds()] == ["export_hidden", "export_personal"]


def test_who_objects_is_in_no_export_of_a_hidden_segment(world: World, cast: Cast) -> None:
    Objection.objects.create(
        customer=Customer.objects.get(external_id="dirk"), objected_at="2026-01-16T00:00:00Z"
    )
    path = exported("segment", user=cast.operations_manager, key="others")
    assert read_csv(path).column("Customer ID") == ["cleo"]


@pytest.mark.parametrize("lost", ["view_hidden_segment", "export_data", "export_personal_data"])
def test_rights_are_checked_again_when_the_job_runs(world: World, cast: Cast, lost: str) -> None:
    person = _with_rights(
        "view_all_customers", "view_hidden_segment", "export_data", "export_personal_data",
        "view_segment", "view_customer",
    )  # fmt: skip
    job = ask_export("segment", user=person, key="others", with_personal=True)
    person.user_permissions.remove(Permission.objects.get(codename=lost))
    job = done(job)
    assert job.status == Job.Status.FAILED
    assert job.error is not None
    assert job.error["code"] == ("not_found" if lost == "view_hidden_segment" else "forbidden")
    assert not result_of(job).exists()
    assert not AccessRecord.objects.exists()


def test_a_segment_hidden_meanwhile_hides_its_job(world: World, cast: Cast) -> None:
    job = ask_export("segment", user=cast.operations_manager, key="spenders")
    Segment.objects.filter(key="spenders").update(is_hidden=True)
    assert done(job).is_hidden is True


def test_rows_keep_to_the_row_scope(world: World, cast: Cast) -> None:
    manager = cast.store_manager
    manager.user_permissions.add(Permission.objects.get(codename="view_layering"))
    person = User.objects.get(pk=manager.pk)
    for source, asked in (
        ("customers", {"query": {}}),
        ("segment", {"key": "spenders"}),
        ("layer", {"layering": "value", "layer": "mid"}),
        ("memberships", {"query": {}}),
        ("orders", {"query": {}}),
        ("transitions", {"query": {}}),
    ):
        table = read_csv(exported(source, user=person, **asked))
        assert set(table.column("Customer ID")) <= {"anna", "cleo"}, source
        assert "anna" in table.column("Customer ID"), source
    assert Job.objects.filter(result__stores=[OWN_STORE]).count() == 6


def test_a_download_checks_the_rights_of_now(world: World, cast: Cast) -> None:
    job = done(ask_export("segment", user=cast.operations_manager, key="others"))
    assert may_download_export(job, user=cast.operations_manager)
    assert may_download_export(job, user=cast.reviewer)  # may see and export hidden segments
    for other in (cast.analyst, cast.support_agent, cast.store_manager, cast.auditor):
        assert not may_download_export(job, user=other), other
    personal = done(
        ask_export("segment", user=cast.operations_manager, key="others", with_personal=True)
    )
    assert not may_download_export(personal, user=cast.reviewer)
    internal = done(ask_export("customers", user=cast.operations_manager, query={}))
    assert not may_download_export(internal, user=cast.store_manager)  # customers of all stores


def test_the_filter_of_a_list_goes_along(world: World, cast: Cast) -> None:
    asked = {"status__exact": ["paid"], "day_from": ["2026-01-10"], "day_to": ["2026-01-10"]}
    table = read_csv(exported("orders", user=cast.analyst, query=asked))
    assert table.column("Customer ID") == ["anna"]
    assert table.column("Amount") == ["150.00"]
    assert table.column("Status") == ["Paid"]
    assert table.lines["Export"] == (
        "Orders: first day = 2026-01-10; last day = 2026-01-10; status = Paid"
    )
    assert table.lines["Currency"] == "CNY"
    found = read_csv(exported("customers", user=cast.analyst, query={"q": ["be"]}))
    assert found.column("Customer ID") == ["bert"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"customer__phone__startswith": ["1"]}, "unknown_filter"),
        ({"batch__actor": ["x"]}, "unknown_filter"),
        ({"status__regex": ["."]}, "unknown_filter"),
        ({"placed_at__gte": ["not a time"]}, "bad_filter"),
        ({"day_from": ["2026-13-01"]}, "bad_filter"),
    ],
)
def test_an_unknown_filter_refuses_the_export(
    world: World, cast: Cast, query: dict[str, list[str]], code: str
) -> None:
    """It would select more than the person saw."""
    with pytest.raises(TierwiseError) as refused:
        ask_export("orders", user=cast.analyst, query=query)
    assert [problem.code for problem in refused.value.problems] == [code]
    assert not Job.objects.exists()


def test_members_of_a_layer_with_the_value_that_put_them_there(world: World, cast: Cast) -> None:
    path = exported("layer", user=cast.analyst, layering="value", layer="high")
    table = read_csv(path)
    assert table.column("Customer ID") == ["bert"]
    assert table.column("spend") == ["1150.00"]
    assert table.lines["Export"] == "Members of a layer: value · high"
    with pytest.raises(NotFoundError):
        ask_export("layer", user=cast.analyst, layering="value", layer="higher")


def test_members_of_a_tier_and_transitions(world: World, cast: Cast) -> None:
    members = read_csv(
        exported("memberships", user=cast.analyst, query={"program": ["club"], "tier": ["gold"]})
    )
    assert members.column("Customer ID") == ["bert"]
    assert members.column("Since") == ["2026-01-15 00:00:00"]
    moved = read_csv(exported("transitions", user=cast.analyst, query={"kind": ["entry"]}))
    assert sorted(moved.column("Customer ID")) == ["anna", "bert"]
    assert moved.column("Reasons") == ["qualifies for this tier"] * 2
    assert sorted(moved.column("Values that decided")) == ["spend: 1150.00", "spend: 150.00"]
    assert AccessRecord.objects.filter(subject_kind="tier", subject_key="club/gold").exists()


def test_members_of_a_list_and_none_of_a_hidden_one(world: World, cast: Cast) -> None:
    for key, is_hidden in (("friends", False), ("secret", True)):
        made = CustomerList.objects.create(
            key=key, label_en=key, label_zh_hans=key, is_hidden=is_hidden, actor="tester"
        )
        CustomerListMember.objects.create(
            list=made, customer=Customer.objects.get(external_id="cleo")
        )
    path = exported("list", user=cast.analyst, key="friends")
    assert read_csv(path).column("Customer ID") == ["cleo"]
    with pytest.raises(NotFoundError):
        ask_export("list", user=cast.analyst, key="secret")
    assert done(ask_export("list", user=cast.operations_manager, key="secret")).is_hidden is True


def test_who_objects_is_in_no_count_and_no_export_of_a_hidden_list(
    world: World, cast: Cast
) -> None:
    rows = []
    for key, is_hidden in (("friends", False), ("secret", True)):
        row = CustomerList.objects.create(
            key=key, label_en=key, label_zh_hans=key, is_hidden=is_hidden, actor="tester", size=2
        )
        for name in ("anna", "bert"):
            CustomerListMember.objects.create(
                list=row, customer=Customer.objects.get(external_id=name)
            )
        rows.append(row)
    Objection.objects.create(
        customer=Customer.objects.get(external_id="anna"), objected_at=day("2026-01-16")
    )
    user = cast.operations_manager
    for row, names in zip(rows, (["anna", "bert"], ["bert"]), strict=True):
        table = read_csv(exported("list", user=user, key=row.key))
        assert table.column("Customer ID") == names
        assert seen_list_sizes([row], user=user) == {row.pk: len(names)}


def test_metric_sheets_name_nothing_hidden(world: World, cast: Cast) -> None:
    hidden = {
        "key": "whales", "purpose": "service", "visibility": "hidden",
        "rule": {"metric": "spend", "cmp": "gte", "value": "5000"},
    }  # fmt: skip
    world.apply({"segments": [hidden]})
    table = read_csv(exported("metrics", user=cast.operations_manager))
    assert table.column("Key") == ["orders", "spend"]
    assert table.column("Interval")[0] == "from 2026-01-08 00:00 to before 2026-01-15 00:00"
    used_by = table.column("Used by")[1]
    assert "spenders" in used_by
    assert "whales" not in used_by


def test_runs_without_logs(world: World, cast: Cast) -> None:
    table = read_csv(exported("runs", user=cast.analyst, query={"status__exact": ["published"]}))
    assert table.column("As of") == ["2026-01-15 00:00:00"]
    assert not {"Log", "Error"} & set(table.titles)


def test_every_source_answers_no_to_a_stranger(world: World, cast: Cast) -> None:
    for name in export_sources():
        with pytest.raises(TierwiseError) as refused:
            ask_export(name, user=cast.stranger)
        assert refused.value.code == "forbidden", name
    assert not Job.objects.exists()


def _with_rights(*codenames: str) -> User:
    user = User.objects.create_user("temp", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)
