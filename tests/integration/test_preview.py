"""S09: a preview says what the run says after the draft is published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyroaring import BitMap

from config.clock import real_now
from membership.queries import load_definition_set
from membership.services.basis import held_after
from membership.services.definitions import definition_set
from membership.services.draft_definitions import draft_definitions
from membership.services.preview import (
    Movement,
    change_of,
    preview,
    preview_document,
    preview_is_quick,
    request_preview,
)
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import (
    Customer,
    DefinitionVersion,
    ManualMember,
    Objection,
    Run,
    RunCount,
    Segment,
    SegmentResult,
)
from segmentation.services.job_kinds import kind_of
from segmentation.services.jobs import execute_job
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db(transaction=True)

SPENDERS = CLUB["segments"][0]
OTHERS = CLUB["segments"][1]
EXTRA: dict[str, Any] = {
    "tags": [
        {"group": "city_tier", "exclusive": True, "values": ["first", "second"]},
        {"group": "likes", "exclusive": False, "values": ["tea", "milk"]},
        {
            "group": "buyer",
            "exclusive": True,
            "rules": [
                {"value": "big", "rule": {"metric": "spend", "cmp": "gte", "value": "500"}},
                {"value": "any", "rule": {"metric": "orders", "cmp": "gte", "value": 1}},
            ],
        },
        {
            "group": "moods",
            "exclusive": False,
            "rules": [
                {"value": "calm", "rule": {"attr": "channel", "cmp": "eq", "value": "app"}},
                {"value": "busy", "rule": {"layer": "value", "cmp": "in", "value": ["high"]}},
            ],
        },
    ],
    "metrics": [
        {
            "key": "basket", "source": "orders", "unit": "money",
            "aggregate": {"fn": "avg", "field": "net_amount"}, "window": {"all": True},
        },
    ],
    "layerings": [
        {"key": "value", "metric": "spend", "cuts": ["100", "500"],
         "layers": ["low", "middle", "high"]},
        {"key": "third", "metric": "basket", "cuts": {"percentiles": ["33", "66"]},
         "layers": ["t1", "t2", "t3"]},
    ],
}  # fmt: skip


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(CLUB)
    found.apply(EXTRA)
    return found


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def populate(world: World) -> Run:
    """Nine customers in two stores, one without orders, one put in and one kept out by hand,
    one who objects to personalised decisions."""
    for number in range(9):
        world.record(
            "customers",
            {
                "customer_id": f"C{number}",
                "home_store": "S1" if number % 3 else "S2",
                "channel": "app" if number % 2 else "web",
                "city": "" if number == 4 else "Hangzhou",
                "tag:city_tier": "first" if number % 2 else "",
            },
        )
    for number in range(1, 9):
        world.order(f"C{number}", "2026-03-01T09:00:00", f"{number * 150 - 100}.50")
    world.order("C2", "2026-03-02T09:00:00", "1000")
    segment = Segment.objects.get(key="spenders")
    for number, kind in ((0, "include"), (3, "exclude")):
        ManualMember.objects.create(
            segment=segment, customer=Customer.objects.get(external_id=f"C{number}"),
            kind=kind, reason="test", actor="tester",
        )  # fmt: skip
    objecting = Customer.objects.get(external_id="C5")
    Objection.objects.create(customer=objecting, objected_at=real_now())
    return world.run("2026-03-03")


def sizes(run: Run) -> dict[str, dict[str | None, int]]:
    """Everything a run counted: `kind:key` -> value -> size."""
    found: dict[str, dict[str | None, int]] = {}
    for result in SegmentResult.objects.filter(run=run).select_related("segment"):
        found[f"segment:{result.segment.key}"] = {None: result.size}
    names = {"tag": "tag", "layer": "layering", "tier": "program"}
    for count in RunCount.objects.filter(run=run):
        found.setdefault(f"{names[count.kind]}:{count.key}", {})[count.value] = count.size
    return found


def moved(run: Run) -> dict[str, tuple[int, int]]:
    results = SegmentResult.objects.filter(run=run).select_related("segment")
    return {
        f"segment:{result.segment.key}": (result.entered_count, result.left_count)
        for result in results
    }


def agree(movements: tuple[Movement, ...], run: Run, before: Run) -> None:
    """The movements are what the run published, and what was published before it."""
    now, then, changes = sizes(run), sizes(before), moved(run)
    for movement in movements:
        name = str(movement.ref)
        if movement.ref.kind == "metric":
            continue
        assert movement.size == now.get(name, {}).get(movement.value, 0), movement
        expected = then.get(name, {}).get(movement.value)
        assert movement.before == expected, movement
        if movement.ref.kind == "segment":
            assert (movement.entered, movement.left) == changes[name], movement
        assert movement.size == (movement.before or 0) + movement.entered - movement.left


def segment_of(rule: Mapping[str, Any], key: str = "draft", **more: str) -> dict[str, Any]:
    return {"key": key, "purpose": "service", "visibility": "internal", **more, "rule": rule}


DRAFTS: list[tuple[str, dict[str, Any]]] = [
    ("segment:spenders", {"segments": [{**SPENDERS, "rule": {
        "metric": "spend", "cmp": "gt", "value": "600"}}]}),
    ("segment:draft", {"segments": [segment_of({"all": [
        {"not": {"segment": "spenders", "cmp": "member"}},
        {"any": [{"tag": "city_tier", "cmp": "in", "value": ["first"]},
                 {"attr": "city", "cmp": "is_not_set"},
                 {"metric": "basket", "cmp": "lt", "value": "400", "if_missing": "match"}]},
    ]})]}),
    ("segment:draft", {"segments": [segment_of({"any": [
        {"tier": "club", "cmp": "at_least", "value": "gold"},
        {"layer": "third", "cmp": "in", "value": ["t1"]},
        {"tag": "moods", "cmp": "contains", "value": "us"}]}, visibility="hidden")]}),
    ("layering:value", {"layerings": [{**EXTRA["layerings"][0], "cuts": ["300", "800"]}]}),
    ("layering:third", {"layerings": [{**EXTRA["layerings"][1],
                                       "cuts": {"percentiles": ["10", "50"]}}]}),
    ("tag:buyer", {"tags": [{**EXTRA["tags"][2], "rules": [
        {"value": "any", "rule": {"metric": "spend", "cmp": "gte", "value": "50"}},
        {"value": "none", "rule": {"metric": "spend", "cmp": "lt", "value": "50"}}]}]}),
    ("tag:moods", {"tags": [{**EXTRA["tags"][3], "rules": [
        {"value": "calm", "rule": {"layer": "third", "cmp": "in", "value": ["t2", "t3"]}}]}]}),
    ("metric:spend", {"metrics": [{**CLUB["metrics"][0], "window": {"days": 1}}]}),
    ("metric:fresh", {
        "metrics": [{"key": "fresh", "source": "orders", "unit": "count",
                     "aggregate": {"fn": "count"}, "window": {"days": 2}}],
        "segments": [segment_of({"metric": "fresh", "cmp": "gte", "value": 1})]}),
    ("program:club", {"programs": [{**CLUB["programs"][0], "version": {
        **CLUB["programs"][0]["version"], "downgrade": "by_value",
        "tiers": [{"key": "gold", "rank": 2,
                   "rule": {"metric": "spend", "cmp": "gte", "value": "400"}},
                  {"key": "silver", "rank": 1,
                   "rule": {"metric": "spend", "cmp": "gte", "value": "200"}}]}}]}),
    # Who objects enters with a segment that is no longer hidden, and leaves one that becomes so.
    ("segment:others", {"segments": [{**OTHERS, "visibility": "internal", "rule": {"all": []}}]}),
    ("segment:spenders", {"segments": [{**SPENDERS, "visibility": "hidden"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "document"), DRAFTS)
def test_preview_is_the_run(
    world: World, cast: Cast, subject: str, document: dict[str, Any]
) -> None:
    """S09: everything a preview and a change say is what the recompute after publishing says."""
    before = populate(world)
    versions = DefinitionVersion.objects.count()
    viewer = cast.operations_manager
    found = preview(document, subject=subject, viewer=viewer, now=real_now())
    change = change_of(document, viewer=viewer, now=real_now(), named=subject)
    assert (change.entered, change.left) == (found.entered, found.left)
    drafted = draft_definitions(document, viewer=viewer)
    assert DefinitionVersion.objects.count() == versions  # nothing is published
    assert Run.objects.count() == 1

    world.apply(document)
    # What would be, is: the same definitions, the same numbers of versions.
    assert load_definition_set(definition_set()) == (drafted.catalog, drafted.programs)
    run = world.run("2026-03-03")
    agree(found.movements, run, before)
    agree(found.dependents, run, before)
    for changed in change.changes:
        agree(changed.movements, run, before)
    agree(change.dependents, run, before)
    told = {str(one.ref) for one in (*found.movements, *found.dependents)}
    told |= {str(one.ref) for changed in change.changes for one in changed.movements}
    told |= {str(one.ref) for one in change.dependents}
    differing = {name for name, size in sizes(run).items() if sizes(before).get(name) != size}
    assert differing <= told
    if subject.startswith("segment:"):
        result = SegmentResult.objects.get(run=run, segment__key=subject.partition(":")[2])
        assert found.members == BitMap.deserialize(bytes(result.members))
        assert found.entered == BitMap.deserialize(bytes(result.entered))
        assert found.left == BitMap.deserialize(bytes(result.left))
        assert set(found.sample) == world.members(run, result.segment.key)
    if subject.startswith("program:"):
        held = held_after(run).to_pylist()
        assert len(found.members) == len({row["ordinal"] for row in held})


def test_unchanged_and_quick(world: World, cast: Cast) -> None:
    """A draft that changes nothing moves nobody; new metrics are told apart from published ones."""
    populate(world)
    viewer = cast.operations_manager
    found = preview(
        {"segments": [SPENDERS]}, subject="segment:spenders", viewer=viewer, now=real_now()
    )
    assert [(one.before, one.size, one.entered, one.left) for one in found.movements] == [
        (7, 7, 0, 0)
    ]
    assert {str(one.ref) for one in found.dependents} == {"segment:others"}
    for subject, document in DRAFTS:
        expected = not subject.startswith("metric:")
        assert preview_is_quick(document, subject=subject, viewer=viewer) is expected, subject


def test_unknown_values(world: World, cast: Cast) -> None:
    """Each leaf says how many customers have no value there, and if one click includes them."""
    populate(world)
    rule = {"all": [
        {"attr": "city", "cmp": "eq", "value": "Hangzhou"},
        {"not": {"any": [{"metric": "basket", "cmp": "gte", "value": 1},
                         {"tag": "city_tier", "cmp": "is_set"},
                         {"layer": "third", "cmp": "in", "value": ["t1"], "if_missing": "match"},
                         {"attr": "is_staff", "cmp": "eq", "value": True}]}},
    ]}  # fmt: skip
    found = preview(
        {"segments": [segment_of(rule)]},
        subject="segment:draft", viewer=cast.operations_manager, now=real_now(),
    )  # fmt: skip
    told = [(one.path, one.leaf, one.count, one.can_include) for one in found.unknown]
    assert told == [
        ("/rule/all/0", "attr:city", 1, True),
        ("/rule/all/1/not/any/0", "metric:basket", 1, True),
        ("/rule/all/1/not/any/1", "tag:city_tier", 5, False),
        ("/rule/all/1/not/any/2", "layer:third", 1, False),
    ]


def test_rights_and_scope(world: World, cast: Cast) -> None:
    """Hidden dependents only with the right; a store manager's sizes are the own store's."""
    run = populate(world)
    document = {
        "segments": [{**SPENDERS, "rule": {"metric": "spend", "cmp": "gt", "value": "600"}}]
    }
    asked: dict[str, Any] = {"subject": "segment:spenders", "now": real_now()}
    everything = preview(document, viewer=cast.operations_manager, **asked)
    analyst = preview(document, viewer=cast.analyst, **asked)
    manager = preview(document, viewer=cast.store_manager, **asked)
    assert {str(one.ref) for one in everything.dependents} == {"segment:others"}
    assert analyst.dependents == ()
    assert analyst.size == everything.size == 6
    own = BitMap(Customer.objects.filter(home_store="S1").values_list("ordinal", flat=True))
    assert manager.members == everything.members & own
    assert manager.movements[0].size == len(manager.members) == 4
    published = SegmentResult.objects.get(run=run, segment__key="spenders")
    assert manager.movements[0].before == len(BitMap.deserialize(bytes(published.members)) & own)
    assert all(Customer.objects.get(external_id=one).home_store == "S1" for one in manager.sample)
    assert analyst.unknown == everything.unknown


def test_hidden_is_unknown_without_the_right(world: World, cast: Cast) -> None:
    """A name that is hidden and one that does not exist are refused alike, and neither is told."""
    populate(world)
    messages = []
    for name in ("others", "nothing"):
        document = {"segments": [segment_of({"segment": name, "cmp": "member"})]}
        with pytest.raises(TierwiseError) as caught:
            preview(document, subject="segment:draft", viewer=cast.analyst, now=real_now())
        (problem,) = caught.value.problems
        messages.append((problem.path, problem.code, problem.message.replace(name, "X")))
    assert messages[0] == messages[1]
    with pytest.raises(NotFoundError):
        preview({}, subject="segment:others", viewer=cast.analyst, now=real_now())
    with pytest.raises(TierwiseError) as caught:
        change_of({"segments": [OTHERS]}, viewer=cast.analyst, now=real_now())
    assert "hidden" not in str(caught.value.as_document())
    with pytest.raises(TierwiseError):
        change_of(
            {"segments": [segment_of({"all": []}, visibility="hidden")]},
            viewer=cast.analyst, now=real_now(),
        )  # fmt: skip


def test_objections_and_erasure_since(world: World, cast: Cast) -> None:
    """Who objected since the run is in no hidden preview, neither before nor after."""
    populate(world)
    zero = Customer.objects.get(external_id="C3")
    Objection.objects.create(customer=zero, objected_at=real_now())
    found = preview(
        {"segments": [{**OTHERS, "rule": {"not": {"segment": "spenders", "cmp": "member"}}}]},
        subject="segment:others", viewer=cast.operations_manager, now=real_now(),
    )  # fmt: skip
    assert zero.ordinal not in found.members
    assert [(one.before, one.size, one.entered, one.left) for one in found.movements] == [
        (1, 1, 0, 0)
    ]


def test_every_problem_at_once(world: World, cast: Cast) -> None:
    populate(world)
    document = {"segments": [segment_of({"all": [
        {"metric": "nonsense", "cmp": "gte", "value": 1},
        {"attr": "channel", "cmp": "gte", "value": "x"}]})]}  # fmt: skip
    with pytest.raises(TierwiseError) as caught:
        preview(document, subject="segment:draft", viewer=cast.analyst, now=real_now())
    assert {(one.path, one.code) for one in caught.value.problems} == {
        ("/segments/0/rule/all/0", "unknown_metric"),
        ("/segments/0/rule/all/1", "cmp_not_allowed"),
    }


def test_before_the_first_run(world: World, cast: Cast) -> None:
    """A change can be shown and published before anything is computed; a preview says why not."""
    document = {"segments": [segment_of({"all": []})]}
    with pytest.raises(TierwiseError) as caught:
        preview(document, subject="segment:draft", viewer=cast.analyst, now=real_now())
    assert caught.value.code == "no_run"
    change = change_of(document, viewer=cast.analyst, now=real_now())
    assert change.run is None
    assert [(str(one.ref), one.act, one.movements) for one in change.changes] == [
        ("segment:draft", "created", ())
    ]


def test_digest_names_what_was_shown(world: World, cast: Cast) -> None:
    """The digest changes with the document, the version it starts from and the run."""
    populate(world)
    viewer = cast.operations_manager
    document = {"segments": [{**SPENDERS, "purpose": "retention"}]}

    def digest(shown: dict[str, Any]) -> str:
        return change_of(shown, viewer=viewer, now=real_now()).digest

    first = digest(document)
    assert digest(document) == first
    assert digest({"segments": [{**SPENDERS, "purpose": "research"}]}) != first
    world.apply({"segments": [{**SPENDERS, "purpose": "research"}]})
    second = digest(document)
    assert second != first
    world.run("2026-03-04")
    assert digest(document) != second


def test_retiring(world: World, cast: Cast) -> None:
    """Everybody leaves what is retired; what depends on it forbids that (case S05)."""
    populate(world)
    viewer = cast.operations_manager
    both = {"segments": [{"key": key, "retired": True} for key in ("spenders", "others")]}
    change = change_of(both, viewer=viewer, now=real_now())
    told = [
        (str(c.ref), c.act, *((m.before, m.size, m.left) for m in c.movements))
        for c in change.changes
    ]
    assert told == [
        ("segment:spenders", "retired", (7, 0, 7)),
        ("segment:others", "retired", (2, 0, 2)),
    ]
    with pytest.raises(TierwiseError) as caught:
        change_of({"segments": both["segments"][:1]}, viewer=viewer, now=real_now())
    assert [one.code for one in caught.value.problems] == ["has_dependents"]


def test_as_a_job(world: World, cast: Cast) -> None:
    """A preview of a new metric runs as a job whose result is the preview."""
    populate(world)
    subject, document = DRAFTS[8]
    operator = cast.operations_manager
    asked: dict[str, Any] = {"subject": subject, "user": operator, "actor": "operations_manager"}
    job = request_preview(document, now=real_now(), key="k", **asked)
    again = request_preview(document, now=real_now(), key="k", **asked)
    assert again.pk == job.pk
    assert kind_of("preview") is not None
    done = execute_job(job, clock=real_now)
    assert done.status == "done", done.error
    found = preview(document, subject=subject, viewer=operator, now=real_now())
    assert done.result == preview_document(found)
    assert done.result["size"] == 9
