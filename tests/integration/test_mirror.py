"""The mirror over a real PostgreSQL: every watermark keeps its meaning, whatever happens to files.

Architecture decision 13; the control of the late commit is the trap "a watermark on max(id) loses
rows that commit late".
"""

from __future__ import annotations

import json
import shutil
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from segmentation.engine import mirror, mirror_sql
from segmentation.engine.backend import open_duckdb
from segmentation.engine.facts import open_facts
from segmentation.engine.schema import MIRROR_KINDS
from segmentation.models import (
    Customer,
    CustomerTag,
    Event,
    FactBatch,
    MirrorManifest,
    Order,
    OrderLine,
    Referral,
    Refund,
)
from tests.fixtures.plans import nodes_of

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2018, 6, 1, tzinfo=UTC)
# In Shanghai the first of March, in UTC still February.
PLACED = datetime(2018, 2, 28, 17, 0, tzinfo=UTC)
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)
    settings.TIME_ZONE = "Asia/Shanghai"


def batch(kind: str) -> FactBatch:
    return FactBatch.objects.create(kind=kind, source="import", recorded_at=NOW)


def customer(name: str, ordinal: int, **columns: Any) -> Customer:
    return Customer.objects.create(
        batch=batch("customers"), external_id=name, ordinal=ordinal, **columns
    )


def order(name: str, owner: Customer, **columns: Any) -> Order:
    values = {"placed_at": PLACED, "amount": Decimal("10.50"), "currency": "CNY"} | columns
    return Order.objects.create(batch=batch("orders"), external_id=name, customer=owner, **values)


def line(owner: Order, line_no: int, **columns: Any) -> OrderLine:
    values = {"sku": f"sku-{line_no}", "amount": Decimal("5.25")} | columns
    return OrderLine.objects.create(
        batch=batch("order_lines"), order=owner, line_no=line_no, **values
    )


def change(fact: Any, kind: str, **columns: Any) -> None:
    """A new version of a fact, as a later import writes it."""
    fact.batch = batch(kind)
    for name, value in columns.items():
        setattr(fact, name, value)
    fact.save()


def rows_at(manifest: MirrorManifest, watermark: int) -> Rows:
    """What a run with this watermark sees, without the generations rows came with."""
    found: Rows = {}
    with open_duckdb() as duck:
        open_facts(duck, manifest, mirror.mirror_folder(), watermark=watermark)
        for kind, spec in MIRROR_KINDS.items():
            names = ", ".join(f'"{f.name}"' for f in spec.schema if f.name != "generation")
            found[kind] = sorted(duck.execute(f'SELECT {names} FROM "{kind}"').fetchall(), key=repr)
    return found


def seen(rows: Rows, kind: str, *columns: str) -> list[tuple[Any, ...]]:
    """Some columns of a kind's rows, sorted, missing values first."""
    names = [field.name for field in MIRROR_KINDS[kind].schema if field.name != "generation"]
    places = [names.index(column) for column in columns]
    found = (tuple(row[place] for place in places) for row in rows[kind])
    return sorted(found, key=lambda row: [(value is not None, value) for value in row])


def recorded() -> tuple[int, list[tuple[int, int]], list[tuple[int, int, str]]]:
    """What PostgreSQL says about now: customers, orders that count, their lines."""
    counted = Order.objects.exclude(status__in=("created", "cancelled"))
    lines = OrderLine.objects.filter(order__in=counted).select_related("order")
    return (
        Customer.objects.count(),
        sorted((row.pk, int(row.amount * 10_000)) for row in counted),
        sorted((row.pk, int(row.amount * 10_000), row.order.status) for row in lines),
    )


def test_what_a_row_holds() -> None:
    """Times in microseconds with their day in the zone, money in 1/10000, missing booleans false,
    the numbers of events' properties digit by digit."""
    anna = customer("anna", 0, city="Wuhan", birth_date=date(2000, 2, 29), registered_at=PLACED)
    ben = customer("ben", 1)
    bought = order("o1", anna, paid_at=None, discount=Decimal("0.0001"), is_promotion=None)
    line(bought, 1, quantity=Decimal("1.5"), qualifies=True)
    Refund.objects.create(
        batch=batch("refunds"), external_id="r", order=bought, refunded_at=NOW, amount=Decimal(3)
    )
    Event.objects.create(
        batch=batch("events"), external_id="e", customer=ben, name="view", occurred_at=PLACED,
        properties={"long": 7, "deep": {"a": 1}, "text": "x"},
    )  # fmt: skip
    with connection.cursor() as cursor:
        text = (
            '{"n": 123456789.123456789, "tiny": 0.00000001, "half": 1.50, "no": null, "yes": true}'
        )
        cursor.execute(
            "INSERT INTO segmentation_event (batch_id, external_id, customer_id, name, occurred_at,"
            " properties) VALUES (%s, 'e2', %s, 'view', %s, %s)",
            [batch("events").pk, ben.pk, PLACED, text],
        )
    Referral.objects.create(
        batch=batch("referrals"), external_id="f", referrer=anna, referee=ben, occurred_at=PLACED
    )
    CustomerTag.objects.create(batch=batch("tags"), customer=ben, group="g", value="v")

    manifest = mirror.advance(now=NOW)

    at, day = 1_519_837_200_000_000, (date(2018, 3, 1) - date(1970, 1, 1)).days
    rows = rows_at(manifest, manifest.generation)
    assert seen(rows, "customers", "ordinal", "external_id", "city", "is_staff", "birth_date") == [
        (0, "anna", "Wuhan", False, date(2000, 2, 29)),
        (1, "ben", None, False, None),
    ]
    assert seen(rows, "customers", "registered_at", "registered_day")[1] == (at, day)
    assert seen(
        rows, "orders", "id", "ordinal", "placed_at", "placed_day", "paid_at", "paid_day", "amount",
        "discount", "is_promotion", "status",
    ) == [(bought.pk, 0, at, day, None, None, 105_000, 1, False, "completed")]  # fmt: skip
    assert seen(
        rows, "order_lines", "order_id", "line_no", "ordinal", "placed_at", "placed_day",
        "quantity", "qualifies", "is_durable",
    ) == [(bought.pk, 1, 0, at, day, 15_000, True, False)]  # fmt: skip
    assert seen(rows, "refunds", "order_id", "line_no", "amount") == [(bought.pk, None, 30_000)]
    assert seen(rows, "referrals", "ordinal", "referee", "occurred_day") == [(0, 1, day)]
    assert seen(rows, "tags", "ordinal", "tag_group", "value", "expires_at") == [
        (1, "g", "v", None)
    ]
    with open_duckdb() as duck:
        keys = ("n", "tiny", "half", "no", "yes", "long", "text")
        folder = mirror.mirror_folder()
        open_facts(duck, manifest, folder, watermark=manifest.generation, properties=keys)
        texts = ", ".join(f'"text:{key}", "number:{key}"' for key in keys)
        found = duck.execute(f"SELECT {texts} FROM events ORDER BY id").fetchall()
    assert found == [
        (None,) * 10 + ("7", 7 * 10**9, "x", None),
        (
            "123456789.123456789", 123456789123456789, "0.00000001", 10, "1.50", 1_500_000_000,
            None, None, "true", None, None, None, None, None,
        ),
    ]  # fmt: skip


class Story:
    """Facts that are recorded and changed over several steps, and what was seen after each."""

    def __init__(self) -> None:
        self.manifest = mirror.advance(now=NOW)
        self.told: dict[int, Rows] = {self.manifest.generation: rows_at(self.manifest, 0)}

    def step(self) -> Rows:
        self.manifest = mirror.advance(now=NOW)
        generation = self.manifest.generation
        assert generation not in self.told, "nothing was pending"
        rows = rows_at(self.manifest, generation)
        customers, orders, lines = recorded()
        assert len(rows["customers"]) == customers
        assert seen(rows, "orders", "id", "amount") == orders
        assert seen(rows, "order_lines", "id", "amount", "status") == lines
        self.told[generation] = rows
        return rows

    def check_every_watermark(self, manifest: MirrorManifest | None = None) -> None:
        for watermark, rows in self.told.items():
            assert rows_at(manifest or self.manifest, watermark) == rows, f"watermark {watermark}"


@pytest.fixture
def story() -> Story:
    """Six generations: new facts, changed orders and lines, a cancellation, a removed tag."""
    found = Story()
    anna, ben = customer("anna", 0), customer("ben", 1, city="Wuhan")
    first = order("o1", anna)
    lines = [line(first, 1), line(first, 2)]
    waiting = order("o2", ben, status="created")
    line(waiting, 1)
    tag = CustomerTag.objects.create(batch=batch("tags"), customer=ben, group="g", value="v")
    rows = found.step()
    assert seen(rows, "order_lines", "id") == [(lines[0].pk,), (lines[1].pk,)]

    change(first, "orders", channel="app")  # only the order: its lines come again with it
    rows = found.step()
    assert seen(rows, "order_lines", "id", "channel") == [(row.pk, "app") for row in lines]

    change(lines[0], "order_lines", amount=Decimal("7.77"))
    change(waiting, "orders", status="paid")
    change(ben, "customers", city=None)
    rows = found.step()
    assert len(rows["order_lines"]) == 3
    assert seen(rows, "customers", "external_id", "city") == [("anna", None), ("ben", None)]

    change(first, "orders", status="cancelled")  # the order and its lines are gone
    change(tag, "tags", is_removed=True)
    change(anna, "customers", city="Wuhan")
    change(anna, "customers", city="Xi'an")  # twice in one step: only the last version counts
    rows = found.step()
    assert seen(rows, "orders", "id") == [(waiting.pk,)]
    assert {row[0] for row in seen(rows, "order_lines", "order_id")} == {waiting.pk}
    assert rows["tags"] == []

    change(first, "orders", status="completed", amount=Decimal("99"), placed_at=NOW)
    change(lines[1], "order_lines", category="shoes")
    change(tag, "tags", is_removed=False)
    rows = found.step()
    assert seen(rows, "tags", "ordinal", "value") == [(1, "v")]

    customer("cleo", 2)
    found.step()
    assert sorted(found.told) == [0, 1, 2, 3, 4, 5, 6]
    return found


def test_old_watermarks_answer_the_same_after_updates(story: Story) -> None:
    story.check_every_watermark()
    again = mirror.advance(now=NOW)  # without new facts nothing is written
    assert again == story.manifest
    assert again.files == story.manifest.files


def test_compaction_changes_no_answer(story: Story) -> None:
    pinned = MirrorManifest.objects.get()
    compacted = mirror.compact(now=NOW, most_files=1)
    assert compacted is not None
    assert len(compacted.files) < len(pinned.files)
    groups = [(file["kind"], file["role"], file["month"]) for file in compacted.files]
    assert len(groups) == len(set(groups))
    story.check_every_watermark(compacted)
    story.check_every_watermark(pinned)  # its files stay for who pinned it
    assert mirror.sweep() > 0
    story.check_every_watermark(compacted)


def lose_folder(manifest: MirrorManifest) -> None:
    shutil.rmtree(mirror.mirror_folder())


def lose_one_file(manifest: MirrorManifest) -> None:
    (mirror.mirror_folder() / manifest.files[0]["path"]).unlink()


def cut_one_file(manifest: MirrorManifest) -> None:
    path = mirror.mirror_folder() / manifest.files[-1]["path"]
    path.write_bytes(path.read_bytes()[:-7])


def test_a_damaged_mirror_is_rebuilt_with_every_watermark(story: Story) -> None:
    for damage in (lose_folder, lose_one_file, cut_one_file):
        damage(MirrorManifest.objects.get())
        rebuilt = mirror.advance(now=NOW)
        assert rebuilt.generation == story.manifest.generation
        story.check_every_watermark(rebuilt)


def test_compaction_leaves_a_damaged_mirror_to_the_next_step(story: Story) -> None:
    """A run compacts before it steps; an error there would keep the mirror damaged for ever."""
    for damage in (lose_one_file, cut_one_file):
        damaged = MirrorManifest.objects.get()
        damage(damaged)
        assert mirror.compact(now=NOW, most_files=1) == damaged
        assert MirrorManifest.objects.get().files == damaged.files
        story.check_every_watermark(mirror.advance(now=NOW))


def test_one_changed_order_reads_no_whole_table() -> None:
    """Performance: with twenty million orders each step would read all their lines."""
    table = MIRROR_KINDS["order_lines"].table
    queries = mirror_sql.step_queries("order_lines", batches=[1, 2], generation=3)
    with transaction.atomic(), connection.cursor() as cursor:
        # A plan that can use its indexes then does, however small the tables are.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")  # it would read an index from end to end
        for query in (queries.rows, queries.tombstones):
            cursor.execute("EXPLAIN (FORMAT JSON) " + query)
            found = cursor.fetchone()[0]
            (plan,) = json.loads(found) if isinstance(found, str) else found
            scans = [node for node in nodes_of(plan["Plan"]) if node.get("Relation Name") == table]
            assert scans
            assert all({"Index Cond", "Recheck Cond"} & node.keys() for node in scans), scans


def test_facts_that_wait_join_a_rebuilt_mirror(story: Story) -> None:
    """A rebuild writes what had a generation; what is pending comes in the step after it."""
    ben = Customer.objects.get(external_id="ben")
    change(ben, "customers", city="Shanghai")
    change(Order.objects.get(external_id="o2"), "orders", status="cancelled")
    lose_folder(story.manifest)
    rows = story.step()
    assert seen(rows, "customers", "external_id", "city")[1] == ("ben", "Shanghai")
    story.check_every_watermark()


def test_new_zone_rules_rebuild_local_days(
    story: Story, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = story.told[1]
    settings.TIME_ZONE = "UTC"
    monkeypatch.setattr(mirror, "tzdata_version", lambda: "2099z")
    rebuilt = mirror.advance(now=NOW)
    assert rebuilt.tzdata_version == "2099z"
    after = rows_at(rebuilt, 1)
    (old,), (new,) = seen(before, "orders", "placed_day"), seen(after, "orders", "placed_day")
    assert new[0] == old[0] - 1
    assert seen(after, "orders", "placed_at") == seen(before, "orders", "placed_at")
    assert mirror.advance(now=NOW) == rebuilt


def test_a_batch_that_commits_late_is_not_lost() -> None:
    """Its id is lower than that of a batch in the mirror already: `max(id)` would have lost it."""
    anna = customer("anna", 0)
    mirror.advance(now=NOW)
    written, may_commit = threading.Event(), threading.Event()

    def write_slowly() -> None:
        try:
            with transaction.atomic():
                order("late", anna)
                written.set()
                assert may_commit.wait(20)
        finally:
            written.set()
            connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    try:
        assert written.wait(20)
        early = order("early", anna)
        manifest = mirror.advance(now=NOW)
        assert seen(rows_at(manifest, 2), "orders", "id") == [(early.pk,)]
    finally:
        may_commit.set()
        slow.join()
    late = Order.objects.get(external_id="late")
    assert late.batch_id < early.batch_id
    manifest = mirror.advance(now=NOW)
    assert manifest.generation == 3
    assert seen(rows_at(manifest, 3), "orders", "id") == sorted([(early.pk,), (late.pk,)])
    assert seen(rows_at(manifest, 2), "orders", "id") == [(early.pk,)]


def test_a_step_killed_before_publishing_leaves_nothing_visible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S06: the files are written, then the database session dies."""
    anna = customer("anna", 0)
    before = mirror.advance(now=NOW)
    bought = order("o1", anna)
    files_before = set(mirror.mirror_folder().rglob("*.parquet"))

    def die(*args: object, **options: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "_publish", die)
        with pytest.raises(DatabaseError):
            mirror.advance(now=NOW)
    connection.close()

    assert MirrorManifest.objects.get() == before
    assert FactBatch.objects.get(pk=bought.batch_id).generation is None
    left_over = set(mirror.mirror_folder().rglob("*.parquet")) - files_before
    assert left_over
    assert rows_at(MirrorManifest.objects.get(), 1)["orders"] == []

    assert mirror.sweep() == len(left_over)
    after = mirror.advance(now=NOW)
    assert after.generation == 2
    assert seen(rows_at(after, 2), "orders", "id") == [(bought.pk,)]
    assert rows_at(after, 1)["orders"] == []


def test_a_reader_keeps_its_files() -> None:
    """Nothing is swept while somebody has the mirror pinned, and everything afterwards."""
    customer("anna", 0)
    stray = mirror.mirror_folder() / "orders" / "stray.parquet"
    pinned_now, may_end = threading.Event(), threading.Event()

    def read() -> None:
        try:
            with mirror.pinned(now=NOW):
                pinned_now.set()
                assert may_end.wait(20)
        finally:
            pinned_now.set()
            connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert pinned_now.wait(20)
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"")
        assert mirror.sweep() == 0
        assert stray.exists()
    finally:
        may_end.set()
        reader.join()
    assert mirror.sweep() == 1
    assert not stray.exists()
