"""What pages about groups and customers show: percentiles, portraits, trends, members."""

from __future__ import annotations

import random
import shutil
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyroaring import BitMap

from membership.domain.documents import Source, read_sources
from segmentation.domain.errors import TierwiseError
from segmentation.domain.reading import build_catalog
from segmentation.engine.run_columns import RunColumns, open_columns
from segmentation.engine.snapshots import CustomerSnapshot, read_customer
from segmentation.models import Customer, Run, SegmentResult
from segmentation.queries import segment_members
from segmentation.services.members import combined, members_page
from segmentation.services.percentiles import percentiles
from segmentation.services.portraits import (
    Comparison,
    Crowd,
    Portrait,
    metric_frame,
    portrait,
    share_frame,
)
from segmentation.services.run_catalogs import run_catalog
from segmentation.services.trends import trend
from tests.fixtures.cast import OWN_STORE, Cast, make_cast
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 120
MORE: dict[str, Any] = {
    "tags": [
        {"group": "city", "exclusive": True, "values": ["big", "small", "none_lives_here"]},
        {"group": "likes", "exclusive": False, "values": ["tea", "milk"]},
        {"group": "moods", "exclusive": False, "rules": [
            {"value": "calm", "rule": {"attr": "channel", "cmp": "eq", "value": "app"}},
            {"value": "rich", "rule": {"layer": "value", "cmp": "in", "value": ["high"]}}]},
    ],
    "metrics": [
        {"key": "basket", "source": "orders", "unit": "money", "window": {"all": True},
         "aggregate": {"fn": "avg", "field": "net_amount"}},
        {"key": "promo", "source": "orders", "unit": "ratio", "window": {"all": True},
         "aggregate": {"fn": "share", "field": "net_amount",
                       "where": {"field": "is_promotion", "cmp": "eq", "value": True}}},
        {"key": "growth", "unit": "count",
         "formula": {"sum": [{"metric": "spend", "times": "0.333"},
                             {"metric": "basket", "times": "3"}]}},
    ],
    "layerings": [
        {"key": "value", "metric": "spend", "cuts": ["100", "300"],
         "layers": ["low", "middle", "high"]},
        {"key": "half", "metric": "basket", "cuts": {"percentiles": ["50"]},
         "layers": ["h1", "h2"]},
    ],
}  # fmt: skip


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(MORE | {"metrics": [*CLUB["metrics"], *MORE["metrics"]]})
    found.apply({"segments": CLUB["segments"], "programs": CLUB["programs"]})
    draw = random.Random(7)
    rows = [
        {
            "customer_id": f"C{number}",
            "home_store": OWN_STORE if number % 2 else "S2",
            "channel": draw.choice(["app", "web"]),
            "tag:city": draw.choice(["big", "small", ""]),
            "tag:likes": draw.choice(["tea", "milk", ""]),
        }
        for number in range(PEOPLE)
    ]
    found.record("customers", *rows)
    orders = [
        {
            "order_id": f"O{number}",
            "customer_id": f"C{draw.randrange(PEOPLE)}",
            "placed_at": "2026-03-01T09:00:00",
            "amount": str(draw.choice([0, 30, 99, 150, 320])),
            "is_promotion": draw.choice(["true", "false"]),
        }
        for number in range(240)
    ]
    found.record("orders", *orders)
    return found


@pytest.fixture
def run(world: World) -> Run:
    return world.run("2026-03-02")


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def snapshots(run: Run) -> dict[str, CustomerSnapshot]:
    """What the run found about everybody, one customer at a time."""
    catalog = run_catalog(run)
    ids = Customer.objects.values_list("external_id", flat=True)
    found = {name: read_customer(run, name, catalog) for name in ids}
    return {name: one for name, one in found.items() if one is not None}


def rank(value: Fraction, among: list[Fraction]) -> Decimal:
    below = sum(one < value for one in among)
    ties = sum(one == value for one in among)
    share = Decimal(2 * below + ties) / Decimal(2 * len(among))
    return share.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)


def test_percentiles_are_exact(run: Run) -> None:
    """Every metric of every customer, among everybody and in the own layers, by brute force."""
    people = snapshots(run)
    assert len(people) == PEOPLE
    for name, person in people.items():
        found = percentiles(run, external_id=name)
        assert set(found) == {"spend", "orders", "basket", "promo", "growth"}
        for key, value in person.metrics.items():
            if value is None:
                assert found[key].base is None
                assert set(found[key].layers.values()) == {None}
                continue
            known = {one: p.metrics[key] for one, p in people.items() if p.metrics[key] is not None}
            assert found[key].base == rank(value, list(known.values())), (name, key)
            for layering, layer in person.layers.items():
                mates = [v for one, v in known.items() if people[one].layers[layering] == layer]
                expected = None if layer is None else rank(value, mates)
                assert found[key].layers[layering] == expected, (name, key, layering)


def test_percentiles_among_the_customers_that_are_seen(run: Run) -> None:
    """Who sees one store learns no rank among the customers of others."""
    people = snapshots(run)
    names = sorted(people)[::3]
    only = BitMap(Customer.objects.filter(external_id__in=names).values_list("ordinal", flat=True))
    for name in names:
        found = percentiles(run, external_id=name, only=only)
        for key, value in people[name].metrics.items():
            if value is None:
                continue
            known = {one: people[one].metrics[key] for one in names}
            among = {one: other for one, other in known.items() if other is not None}
            assert found[key].base == rank(value, list(among.values())), (name, key)
            for layering, layer in people[name].layers.items():
                mates = [v for one, v in among.items() if people[one].layers[layering] == layer]
                expected = None if layer is None else rank(value, mates)
                assert found[key].layers[layering] == expected, (name, key, layering)


def test_percentiles_of_nobody(world: World, run: Run, tmp_path: Path) -> None:
    """Unknown and later customers have none; neither has a run without files."""
    assert percentiles(run, external_id="nobody") == {}
    world.record("customers", {"customer_id": "later"})
    assert percentiles(run, external_id="later") == {}
    other = world.run("2026-03-03")
    (tmp_path / "runs" / str(other.pk) / "snapshot.parquet").unlink()
    shutil.rmtree(tmp_path / "cache" / "runs")  # a run writes its columns ahead
    assert percentiles(other, external_id="C1") == {}


def test_columns_are_a_cache(world: World, run: Run, tmp_path: Path) -> None:
    """Written once, whole; a damaged file is written again, and only the newest are kept."""
    before = percentiles(run, external_id="C1")
    folder = tmp_path / "cache" / "runs"
    (file,) = folder.iterdir()
    stamp = file.stat().st_mtime_ns
    assert percentiles(run, external_id="C1") == before
    assert file.stat().st_mtime_ns == stamp
    file.write_bytes(b"damaged")
    assert percentiles(run, external_id="C1") == before
    for number in range(3, 9):
        later = world.run(f"2026-03-0{number}")
        assert percentiles(later, external_id="C1")
    assert len(list(folder.iterdir())) == 4
    assert percentiles(run, external_id="C1") == before


def test_positions(run: Run) -> None:
    columns = open_columns(run, run_catalog(run), currency="CNY")
    ordinals = columns.ordinals.tolist()
    assert ordinals == sorted(ordinals)
    assert columns.position(10**6) is None
    picked = columns.positions(BitMap([ordinals[3], ordinals[7], 10**6]))
    assert picked.tolist() == [3, 7]
    assert columns.positions(BitMap()).tolist() == []


def by_hand(run: Run, members: set[str], base: set[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """(tag group or layering, value) -> how many of the group and of everybody."""
    people = snapshots(run)
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for crowd, position in ((base, 1), (members, 0)):
        for name in crowd:
            person = people[name]
            held = [(key, value) for key, values in person.tags.items() for value in values]
            held += [(key, layer) for key, layer in person.layers.items() if layer is not None]
            for pair in held:
                counts = list(found.get(pair, (0, 0)))
                counts[position] += 1
                found[pair] = (counts[0], counts[1])
    return found


def cells(shown: Portrait) -> dict[tuple[str, str], tuple[int | None, int]]:
    return {
        (one.key, row.value): (row.count, row.base_count)
        for one in (*shown.tags, *shown.layerings)
        for row in one.rows
    }


def test_portrait(run: Run, cast: Cast) -> None:
    """Counts, shares, TGI, means and quartiles by brute force."""
    members = segment_members(run, "spenders")
    shown = portrait(run, members, viewer=cast.operations_manager, is_hidden=False)
    everybody = set(Customer.objects.values_list("external_id", flat=True))
    group = set(
        Customer.objects.filter(ordinal__in=list(members)).values_list("external_id", flat=True)
    )
    assert (shown.size, shown.base_size) == (len(group), PEOPLE)
    expected = by_hand(run, group, everybody)
    found = cells(shown)
    assert {pair: counts for pair, counts in found.items() if counts != (0, 0)} == expected
    assert found["city", "none_lives_here"] == (0, 0)
    city = next(one for one in shown.tags if one.key == "city")
    known, base_known = (
        sum(expected["city", value][at] for value in ("big", "small")) for at in (0, 1)
    )
    assert (city.known, city.base_known) == (known, base_known)
    big = city.rows[0]
    count, base_count = expected["city", "big"]
    assert big.share == (Decimal(count) / known).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    ratio = Decimal(100 * count * base_known) / Decimal(known * base_count)
    assert big.tgi == int(ratio.quantize(Decimal(1), ROUND_HALF_UP))
    people = snapshots(run)
    for one in shown.metrics:
        for crowd, figures in ((group, one.group), (everybody, one.base)):
            unrounded = [people[name].metrics[one.key] for name in crowd]
            decimals = {"money": 2, "count": 0, "ratio": 6}[one.unit]
            values = sorted(
                Decimal(value.numerator * 10**12 // value.denominator)
                .scaleb(-12)
                .quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
                for value in unrounded
                if value is not None
            )
            assert figures.known == len(values)
            mean = Fraction(sum(values)) / len(values)
            assert figures.mean is not None
            assert abs(Fraction(figures.mean) - mean) <= Fraction(1, 2 * 10 ** max(decimals, 2))
            ranks = [min(len(values) * p // 100, len(values) - 1) for p in (25, 50, 75)]
            assert [figures.low_quartile, figures.median, figures.high_quartile] == [
                values[at] for at in ranks
            ]
        shares = [bucket.share for bucket in one.buckets]
        assert sum(share for share in shares if share is not None) == pytest.approx(1, abs=0.01)
    frame = share_frame(shown, language="zh-hans")
    assert list(frame.columns) == [
        "kind", "key", "name", "value", "count", "share", "base_count", "base_share", "tgi",
    ]  # fmt: skip
    assert len(frame) == len(found)
    assert metric_frame(shown)["key"].tolist() == [one.key for one in shown.metrics]


def test_hidden_groups_show_no_small_cell(run: Run, cast: Cast) -> None:
    """No shown cell is below 30, and none that is suppressed follows from the others."""
    for size in (10, 29, 31, 45, 90, 120):
        ordinals = sorted(Customer.objects.values_list("ordinal", flat=True))[:size]
        shown = portrait(run, BitMap(ordinals), viewer=cast.operations_manager, is_hidden=True)
        assert shown.size == size
        for one in (*shown.tags, *shown.layerings):
            counts = [row.count for row in one.rows if row.count is not None and row.base_count]
            assert all(count >= 30 for count in counts), (size, one.key)
            hidden = [row for row in one.rows if row.is_suppressed]
            assert all(row.share is None and row.tgi is None for row in hidden)
            if one.is_exclusive and hidden:
                left = size - sum(counts)
                unknown = 0 if one.known is None else size - one.known
                assert left - unknown >= 30 or not counts, (size, one.key)
                assert len(hidden) + (one.known is None) >= 2 or not counts
        for metric in shown.metrics:
            if size < 30:
                assert metric.group.mean is None
                assert metric.group.known is None
                assert {bucket.share for bucket in metric.buckets} <= {None}
            assert metric.base.mean is not None
    visible = portrait(run, BitMap(ordinals[:10]), viewer=cast.operations_manager, is_hidden=False)
    assert visible.is_small
    assert not any(row.is_suppressed for one in visible.tags for row in one.rows)


def test_a_suppressed_bucket_does_not_follow_from_the_known_ones() -> None:
    """Shares are of those with a value, whose number is shown: whoever has none hides nothing."""
    spend = CLUB["metrics"][0]
    report = read_sources([Source("", {"metrics": [spend]})], project_zone="Asia/Shanghai")
    catalog = build_catalog(tuple(report.patch.values()))
    units = np.array([*range(400), *[2**15 - 1] * 35], np.int16)  # 35 without a value
    columns = RunColumns(
        np.arange(len(units), dtype=np.uint32),
        {"u:spend": units},
        {"metrics": {"spend": {"apart": False, "decimals": 2, "missing": True}}},
    )
    few_of_the_first = np.array([*range(10), *range(40, 435)])  # tenths: 10, 40, 40, ...
    hidden = Comparison(columns, catalog, Crowd(few_of_the_first), Crowd(None), is_hidden=True)
    shown = hidden.metric("spend")
    assert shown.group.known == 370
    assert sum(bucket.share is None for bucket in shown.buckets) == 2


def test_scope_and_erasure(run: Run, cast: Cast) -> None:
    """A store manager compares the own store's members with the own store's customers."""
    members = segment_members(run, "spenders")
    own = set(Customer.objects.filter(home_store=OWN_STORE).values_list("external_id", flat=True))
    group = own & set(
        Customer.objects.filter(ordinal__in=list(members)).values_list("external_id", flat=True)
    )
    shown = portrait(run, members, viewer=cast.store_manager, is_hidden=False)
    assert (shown.size, shown.base_size) == (len(group), len(own))
    expected = by_hand(run, group, own)
    assert {pair: c for pair, c in cells(shown).items() if c != (0, 0)} == expected


def test_trends(world: World, cast: Cast) -> None:
    """One point a published run, oldest first; hidden ones only with the right; scoped sizes."""
    first = world.run("2026-03-02")
    world.order("C0", "2026-03-02T10:00:00", "1000")
    second = world.run("2026-03-03")
    manager, analyst, store = cast.operations_manager, cast.analyst, cast.store_manager
    sizes = [SegmentResult.objects.get(run=one, segment__key="spenders") for one in (first, second)]
    points = trend("segment", "spenders", viewer=analyst)
    assert [(p.run_id, p.size, p.entered, p.left) for p in points] == [
        (one.run_id, one.size, one.entered_count, one.left_count) for one in sizes
    ]
    assert trend("segment", "spenders", viewer=analyst, points=1) == points[1:]
    assert trend("segment", "others", viewer=analyst) == ()
    assert len(trend("segment", "others", viewer=manager)) == 2
    own = BitMap(Customer.objects.filter(home_store=OWN_STORE).values_list("ordinal", flat=True))
    scoped = trend("segment", "spenders", viewer=store)
    assert [p.size for p in scoped] == [
        len(BitMap.deserialize(bytes(one.members)) & own) for one in sizes
    ]
    people = snapshots(second)
    own_store = Customer.objects.filter(home_store=OWN_STORE)
    own_names = set(own_store.values_list("external_id", flat=True))
    for kind, key, value in (
        ("layer", "value", "high"), ("tag", "city", "big"), ("tag", "likes", "tea"),
        ("tag", "moods", "rich"), ("tier", "club", "silver"),
    ):  # fmt: skip
        whole = trend(kind, key, value=value, viewer=manager)  # type: ignore[arg-type]
        part = trend(kind, key, value=value, viewer=store)  # type: ignore[arg-type]
        assert [p.run_id for p in whole] == [p.run_id for p in part] == [first.pk, second.pk]
        assert whole[1].size > part[1].size > 0
        assert (whole[0].entered, whole[0].left) == (None, None)
        if kind == "tag":
            assert part[1].size == sum(value in people[name].tags[key] for name in own_names)
    assert trend("layer", "nothing", value="x", viewer=manager) == ()
    assert trend("layer", "nothing", value="x", viewer=store) == ()


def test_members_page(run: Run, cast: Cast, django_assert_num_queries: Any) -> None:
    """Pages by ordinal, each customer once, one query for the rows."""
    members = segment_members(run, "others") | segment_members(run, "spenders")
    assert len(members) == PEOPLE
    seen: list[str] = []
    after = None
    while True:
        page = members_page(members, viewer=cast.operations_manager, after=after, limit=50)
        seen += [customer.external_id for customer in page.customers]
        assert page.total == PEOPLE
        after = page.next_after
        if after is None:
            break
    assert len(seen) == len(set(seen)) == PEOPLE
    assert cast.operations_manager.has_perm("segmentation.view_all_customers")
    with django_assert_num_queries(1):
        members_page(members, viewer=cast.operations_manager, limit=10)
    own = members_page(members, viewer=cast.store_manager, limit=1000)
    assert {customer.home_store for customer in own.customers} == {OWN_STORE}
    assert members_page(BitMap(), viewer=cast.analyst).customers == ()
    beyond = members_page(members, viewer=cast.analyst, after=2**32, limit=5)
    assert (beyond.customers, beyond.next_after) == ((), None)
    last = members_page(members, viewer=cast.analyst, after=members.max(), limit=5)
    assert (last.customers, last.next_after) == ((), None)


def test_operations() -> None:
    one, other = BitMap([1, 2, 3]), BitMap([3, 4])
    assert combined("and", [one, other]) == BitMap([3])
    assert combined("or", [one, other]) == BitMap([1, 2, 3, 4])
    assert combined("minus", [one, other]) == BitMap([1, 2])
    assert combined("and", []) == BitMap()
    assert combined("or", [one]) is not one
    with pytest.raises(TierwiseError):
        combined("xor", [one])
