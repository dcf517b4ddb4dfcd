"""The demo against plain pandas over the same files: every figure of every month, exactly.

`demo_control` shares no line with the project; it is the control. What is compared is what was
published: snapshots, bitmaps, counts, memberships and transitions.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from membership.models import Membership, Transition
from membership.queries import run_document, segment_document
from membership.services.demo import as_ofs_to_do, demo_history, demo_logins
from membership.services.demo_summary import printed, summary
from segmentation.engine.local_days import from_micros
from segmentation.engine.plan.formulas import metric_shapes
from segmentation.engine.plan.rules import layer_column
from segmentation.engine.results import run_folder
from segmentation.engine.snapshots import exact_metric, read_memberships, tag_values
from segmentation.models import FactBatch, Run, StaffScope
from segmentation.permissions import VIEW_HIDDEN, visible_customers
from segmentation.services.definitions import current_catalog
from tests.fixtures import demo_control
from tests.fixtures.cast import make_roles
from tests.fixtures.demo_project import FOLDER, ZONE, DemoProject, demo_project

pytestmark = pytest.mark.django_db
MONTHS = [f"{month:%Y-%m-%d}" for month in demo_control.MONTH_STARTS]
EXAMINED = ["2017-07-01", "2018-01-01"]  # every value of every customer; the rest by sizes


@pytest.fixture(scope="module")
def control() -> dict[str, demo_control.Month]:
    return demo_control.replay(demo_control.load(FOLDER / "facts"))


@pytest.fixture(scope="module")
def demo(
    django_db_setup: None, django_db_blocker: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoProject]:
    var_dir = tmp_path_factory.mktemp("demo")
    with django_db_blocker.unblock(), demo_project(var_dir) as project:
        yield project


@pytest.fixture
def roles(db: None) -> None:
    """The groups of the migrations: a test that flushes the database takes them away."""
    make_roles()


def test_every_row_of_the_files_is_recorded(demo: DemoProject) -> None:
    found = [(f.kind, f.read, f.inserted, f.updated, f.rejected) for f in demo.imported]
    assert found == [
        ("customers", 1231, 1231, 0, 0),
        ("customers", 1231, 0, 1231, 0),  # home stores and invented contacts
        ("orders", 77312, 77312, 0, 0),
        ("order_lines", 726740, 726740, 0, 0),
    ]


def test_there_is_one_run_per_month_start(demo: DemoProject) -> None:
    assert list(demo.runs) == MONTHS
    assert {run.customers for run in demo.runs.values()} == {1231}


@pytest.mark.parametrize("day", EXAMINED)
def test_metrics_tags_and_layers_of_every_customer(
    demo: DemoProject, control: dict[str, demo_control.Month], day: str
) -> None:
    """S08, S12: exact values, on local dates; nothing is rounded before it is compared."""
    catalog, month = current_catalog(), control[day]
    rows = pq.read_table(run_folder(demo.runs[day].pk) / "snapshot.parquet").to_pylist()
    by_id = {row["external_id"]: row for row in rows}
    assert set(by_id) == set(month.qualified)
    assert set(catalog.metrics) == set(month.exact)
    shapes = metric_shapes(catalog.metrics)
    for key, expected in month.exact.items():
        found = {c: exact_metric(row, shapes[key], key) for c, row in by_id.items()}
        assert found == {c: demo_control.in_units(key, value) for c, value in expected.items()}, key
    assert set(catalog.tag_groups) == set(month.tags)
    for group, tags in month.tags.items():
        given = {c: tuple(tag_values(row, catalog, group)) for c, row in by_id.items()}
        assert given == {c: tags.get(c, ()) for c in by_id}, group
    assert set(catalog.layerings) == set(month.layers)
    for key, layers in month.layers.items():
        assert {c: row[layer_column(key)] for c, row in by_id.items()} == layers, key


@pytest.mark.parametrize("day", MONTHS)
def test_segments_of_every_month(
    demo: DemoProject, control: dict[str, demo_control.Month], day: str
) -> None:
    for key, members in control[day].segments.items():
        found = segment_document(key, as_of=demo.runs[day].as_of)
        assert (found["run"], found["size"]) == (demo.runs[day].pk, len(members)), key
        assert found["members"] == sorted(members), key


@pytest.mark.parametrize("day", MONTHS)
def test_sizes_of_every_month(
    demo: DemoProject, control: dict[str, demo_control.Month], day: str
) -> None:
    month, found = control[day], run_document(demo.runs[day])
    assert found["segments"] == {key: len(members) for key, members in month.segments.items()}
    for group, sizes in found["tags"].items():
        expected = Counter(value for values in month.tags[group].values() for value in values)
        assert sizes == {value: expected[value] for value in sizes}, group
        assert sum(sizes.values()) == expected.total(), group
    for key, sizes in found["layers"].items():
        assert sizes == dict(Counter(month.layers[key].values())), key
    tiers = Counter(demo_control.TIERS[held.rank] for held in month.members.values())
    assert found["programs"] == {
        "household_club": {tier: tiers[tier] for tier in ("bronze", "silver", "gold")}
    }


@pytest.mark.parametrize("day", MONTHS)
def test_memberships_and_moves_of_every_month(
    demo: DemoProject, control: dict[str, demo_control.Month], day: str
) -> None:
    """Entry, upgrade, renewal, grace, downgrade and exit, replayed month by month."""
    month, run = control[day], demo.runs[day]
    found = {
        row["external_id"]: (
            row["rank"],
            row["tier"],
            *(_instant(row[name]) for name in ("since", "until", "grace_until")),
        )
        for row in read_memberships(run, program="household_club")
    }
    assert found == {
        c: (
            held.rank,
            demo_control.TIERS[held.rank],
            *(_utc(at) for at in (held.since, held.until, held.grace_until)),
        )
        for c, held in month.members.items()
    }
    moves = Counter(Transition.objects.filter(run=run).values_list("kind", "from_tier", "to_tier"))
    assert moves == month.moves


def test_every_kind_of_move_happens_in_the_demo(control: dict[str, demo_control.Month]) -> None:
    """A guard for the control: a replay in which nobody ever falls would prove little."""
    kinds = {kind for month in control.values() for kind, _, _ in month.moves}
    assert kinds == {"entry", "upgrade", "renewal", "grace", "downgrade", "exit"}


def test_current_memberships_are_those_of_the_last_month(
    demo: DemoProject, control: dict[str, demo_control.Month]
) -> None:
    found = Membership.objects.values_list("customer__external_id", "rank", "until", "grace_until")
    assert {c: tuple(rest) for c, *rest in found} == {
        c: (held.rank, _utc(held.until), _utc(held.grace_until))
        for c, held in control["2018-01-01"].members.items()
    }


def test_summary_names_rows_seconds_sizes_tiers_and_moves(
    demo: DemoProject, control: dict[str, demo_control.Month]
) -> None:
    run = demo.runs["2018-01-01"]
    text = printed(summary(demo.imported, run=run, history=demo_history(ZONE), zone=ZONE))
    lines = [line.split() for line in text.splitlines()]
    assert ["order_lines", "726,740", "726,740", "0", "0", "0", "0.00"] in lines
    month = control["2018-01-01"]
    size = len(month.segments["pet_samples"])
    (pets,) = [line for line in lines if line[:1] == ["pet_samples"]]
    assert pets[4] == str(size)
    assert pets[-1] == "restricted"
    moved = month.moves["upgrade", "bronze", "silver"]
    assert ["household_club", "Upgrade", "bronze", "silver", str(moved)] in lines
    assert {"mirror", "metrics", "postgresql", "Total"} <= {line[0] for line in lines if line}
    assert all(day in text for day in MONTHS)


def test_a_second_demo_imports_nothing_and_moves_nobody(
    demo: DemoProject, roles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(
        "config.management.commands.demo.Services", lambda **given: _Idle(started, **given)
    )
    before = _state()
    assert as_ofs_to_do(ZONE) == ()
    output = io.StringIO()
    call_command("demo", "--no-serve", stdout=output)
    assert _state() == before
    lines = [line.split() for line in output.getvalue().splitlines()]
    assert ["orders", "77,312", "0", "77,312", "0", "0"] in [line[:6] for line in lines]
    assert started == [True, False]


def test_only_the_current_month_is_computed_again_after_a_correction(demo: DemoProject) -> None:
    """Facts that came after the newest run make it, and no older one, due again."""
    batch = FactBatch.objects.filter(kind="orders").order_by("pk")[0]
    later = FactBatch.objects.create(
        kind="orders", source=batch.source, recorded_at=batch.recorded_at, inserted=1, read=1
    )
    try:
        assert as_ofs_to_do(ZONE) == (demo.runs["2018-01-01"].as_of,)
    finally:
        later.delete()
    assert as_ofs_to_do(ZONE) == ()


def test_log_ins_are_kept_and_replaced_only_when_nobody_knows_them(
    demo: DemoProject, roles: None, tmp_path: Path
) -> None:
    path = tmp_path / "demo-logins"
    first = demo_logins(path)
    assert path.stat().st_mode & 0o777 == 0o600
    names = "operations reviewer analyst support store_manager auditor integration admin"
    assert [login.name for login in first] == names.split()
    assert demo_logins(path) == first
    support = User.objects.get(username="support")
    support.set_password("changed in the admin")
    support.save()
    second = demo_logins(path)
    assert second[:3] + second[4:] == first[:3] + first[4:]
    assert second[3].password not in ("changed in the admin", first[3].password)


def test_each_log_in_has_the_rights_of_its_role_and_no_more(
    demo: DemoProject, roles: None, tmp_path: Path
) -> None:
    demo_logins(tmp_path / "demo-logins")
    people = {user.username: user for user in User.objects.all()}
    assert [name for name, user in people.items() if user.is_superuser] == ["admin"]
    sees_hidden = {name for name, user in people.items() if user.has_perm(VIEW_HIDDEN)}
    assert sees_hidden == {"operations", "reviewer", "auditor", "admin"}
    assert people["support"].has_perm("segmentation.view_customer")
    assert {name: visible_customers(user).count() for name, user in people.items()} == {
        **dict.fromkeys(people, 1231),
        "store_manager": 37,
    }
    assert visible_customers(people["store_manager"]).values_list("home_store").distinct()[0] == (
        "367",
    )


def test_a_store_that_a_person_chose_stays(demo: DemoProject, roles: None, tmp_path: Path) -> None:
    demo_logins(tmp_path / "demo-logins")
    StaffScope.objects.filter(user__username="store_manager").update(home_stores=["356"])
    demo_logins(tmp_path / "demo-logins")
    assert StaffScope.objects.get(user__username="store_manager").home_stores == ["356"]


class _Idle:
    """Services that run nothing: there is nothing left to compute."""

    url = ""

    def __init__(self, started: list[bool], **given: object) -> None:
        assert given["web"] is given["beat"] is False
        self.started = started

    def start(self) -> None:
        self.started.append(True)

    def stop(self) -> None:
        self.started.append(False)


def _state() -> tuple[object, ...]:
    return (
        list(Run.objects.order_by("pk").values_list("pk", "status", "recorded_hash")),
        Transition.objects.count(),
        list(Membership.objects.order_by("pk").values_list("pk", "tier", "since", "until")),
    )


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _utc(at: pd.Timestamp | None) -> datetime | None:
    return None if at is None else at.tz_convert("UTC").to_pydatetime()
