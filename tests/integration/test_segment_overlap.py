"""Overlaps of segments against plain sets: each role, row scope, objections, suppression."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import User

from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Segment
from segmentation.services.segment_overlap import (
    MOST,
    Measure,
    OverlapMatrix,
    largest_segments,
    overlap_matrix,
)
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.overlaps import NOT_COMPUTED, Drawn, draw, make_segment, store


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


def seen(drawn: Drawn, key: str, *, own_only: bool) -> frozenset[int]:
    """Who is in a segment, for somebody who sees all stores or one."""
    left = drawn.members[key] - drawn.gone
    if key in drawn.hidden:
        left -= drawn.objecting
    return left & drawn.own_store if own_only else left


def expected(drawn: Drawn, one: str, other: str, *, own_only: bool) -> int | None:
    """The count of a cell, None where it must not show."""
    sets = {key: seen(drawn, key, own_only=own_only) for key in (one, other)}
    shared = len(sets[one] & sets[other])
    if one == other:
        return shared
    for key in {one, other} & drawn.hidden:
        rest = len(sets[key]) - shared
        if shared < 30 or 0 < rest < 30:
            return None
    return shared


def check(found: OverlapMatrix, drawn: Drawn, keys: list[str], *, own_only: bool) -> None:
    assert [one.key for one in found.segments] == keys
    assert found.not_computed == ()
    for (row, one), (column, other) in product(enumerate(keys), repeat=2):
        wanted = expected(drawn, one, other, own_only=own_only)
        assert found.counts[row][column] == wanted, (one, other)
    for segment in found.segments:
        assert segment.size == len(seen(drawn, segment.key, own_only=own_only))
        assert segment.is_hidden == (segment.key in drawn.hidden)


@pytest.mark.parametrize("seed", range(12))
def test_every_cell_is_that_of_plain_sets(cast: Cast, seed: int) -> None:
    drawn = draw(seed)
    every = list(drawn.members)
    internal = [key for key in every if key not in drawn.hidden]
    for user in (cast.operations_manager, cast.reviewer, cast.auditor):
        found = overlap_matrix(every, run=drawn.run, viewer=user)
        check(found, drawn, every, own_only=False)
        backwards = overlap_matrix(every[::-1], run=drawn.run, viewer=user)
        check(backwards, drawn, every[::-1], own_only=False)
    for user in (cast.analyst, cast.support_agent):
        found = overlap_matrix(internal, run=drawn.run, viewer=user)
        check(found, drawn, internal, own_only=False)
    found = overlap_matrix(internal, run=drawn.run, viewer=cast.store_manager)
    check(found, drawn, internal, own_only=True)


def test_the_draws_have_every_kind_of_cell(cast: Cast) -> None:
    """A control: shown, suppressed and empty cells all occur."""
    drawn = draw(0, segments=24)
    kinds = set()
    for one, other in product(drawn.members, repeat=2):
        count = expected(drawn, one, other, own_only=False)
        is_hidden = bool({one, other} & drawn.hidden)
        kinds.add((is_hidden, "suppressed" if count is None else "some" if count else "zero"))
    assert kinds >= {(True, "suppressed"), (True, "some"), (False, "zero"), (False, "some")}


def test_a_hidden_segment_is_not_there_for_others(cast: Cast) -> None:
    drawn = draw(1)
    hidden = sorted(drawn.hidden)[0]
    for user in (cast.analyst, cast.support_agent, cast.store_manager):
        with pytest.raises(NotFoundError) as refused:
            overlap_matrix(["s1", hidden], run=drawn.run, viewer=user)
        with pytest.raises(NotFoundError) as unknown:
            overlap_matrix(["s1", "nothing"], run=drawn.run, viewer=user)
        assert refused.value.message == unknown.value.message
        offered = largest_segments(drawn.run, viewer=user, number=100)
        assert set(offered) == set(drawn.members) - drawn.hidden
    for user in (cast.integration, cast.stranger):  # may not see segments at all
        with pytest.raises(NotFoundError):
            overlap_matrix(["s1"], run=drawn.run, viewer=user)
        assert largest_segments(drawn.run, viewer=user, number=100) == []


def test_a_cell_does_not_depend_on_what_else_is_asked_for(cast: Cast) -> None:
    """Otherwise two questions would tell what one does not."""
    drawn = draw(5)
    every = list(drawn.members)
    whole = overlap_matrix(every, run=drawn.run, viewer=cast.reviewer)
    for row, column in product(range(len(every)), repeat=2):
        if row != column:
            keys = [every[row], every[column]]
            two = overlap_matrix(keys, run=drawn.run, viewer=cast.reviewer)
            assert two.counts[0][1] == whole.counts[row][column]
            assert two.counts[1][0] == whole.counts[row][column]


def test_the_edges_of_suppression(cast: Cast) -> None:
    """29 and 30 shared, 29 and 30 and nobody left out; only where one is hidden."""
    drawn = draw(3)
    people = sorted(set(range(65_500, 65_500 + 7 * 400, 7)) - drawn.gone - drawn.objecting)
    sizes = {"few": 29, "enough": 30, "nearly": 71, "less": 70, "all": 100}
    for is_hidden in (True, False):
        group = make_segment(f"group_{is_hidden}".lower(), is_hidden=is_hidden)
        store(drawn.run, group, frozenset(people[:100]))
        for name, size in sizes.items():
            if is_hidden:
                row = make_segment(name, is_hidden=False)
                store(drawn.run, row, frozenset(people[:size]))
    for group_key, wanted in (
        ("group_true", {"few": None, "enough": 30, "nearly": None, "less": 70, "all": 100}),
        ("group_false", sizes),
    ):
        keys = [group_key, *sizes]
        found = overlap_matrix(keys, run=drawn.run, viewer=cast.reviewer)
        assert found.counts[0] == (100, *wanted.values())
        assert found.counts[1][2] == 29  # two that are not hidden
    cell = overlap_matrix(
        ["group_true", "few"], run=drawn.run, viewer=cast.reviewer
    ).overlap(0, 1)  # fmt: skip
    assert cell.is_suppressed
    assert (cell.shared, cell.first_share, cell.second_share, cell.jaccard) == (None,) * 4


def numbers(found: OverlapMatrix, by: Measure) -> list[tuple[str, str, int | None]]:
    return [(one.first.key, one.second.key, one.shared) for one in found.largest(99, by=by)]


def test_shares_and_the_largest_overlaps(cast: Cast) -> None:
    drawn = draw(4)
    stretches = {"big": (0, 200), "part": (0, 60), "twin": (0, 66), "far": (300, 310)}
    people = sorted(set(range(65_500, 65_500 + 7 * 400, 7)) - drawn.gone)
    for key, (first, last) in stretches.items():
        row = make_segment(key, is_hidden=False)
        store(drawn.run, row, frozenset(people[first:last]))
    keys = [*stretches, NOT_COMPUTED, "big"]
    found = overlap_matrix(keys, run=drawn.run, viewer=cast.analyst)
    assert [one.key for one in found.segments] == list(stretches)
    assert [one.key for one in found.not_computed] == [NOT_COMPUTED]
    cell = found.overlap(1, 2)
    assert (cell.first.key, cell.second.key, cell.shared) == ("part", "twin", 60)
    assert (cell.first_share, cell.second_share) == (Decimal("1.0000"), Decimal("0.9091"))
    assert cell.jaccard == Decimal("0.9091")
    assert found.overlap(0, 0).jaccard == 1
    assert found.overlap(0, 3).first_share == 0
    count = [("big", "twin", 66), ("big", "part", 60), ("part", "twin", 60)]
    assert numbers(found, "count") == count
    assert numbers(found, "share") == count  # all whole: more customers first
    assert numbers(found, "jaccard") == [count[2], count[0], count[1]]
    assert len(found.largest(2, by="count")) == 2


def test_nobody_has_no_share(cast: Cast) -> None:
    drawn = draw(2)
    for key in ("empty", "none"):
        store(drawn.run, make_segment(key, is_hidden=False), frozenset())
    found = overlap_matrix(["empty", "none"], run=drawn.run, viewer=cast.analyst)
    assert found.counts == ((0, 0), (0, 0))
    cell = found.overlap(0, 1)
    assert (cell.shared, cell.first_share, cell.jaccard, cell.is_suppressed) == (0, None, None, 0)
    assert found.largest(5, by="jaccard") == ()
    alone = overlap_matrix(["empty"], run=drawn.run, viewer=cast.analyst)
    assert (alone.counts, alone.largest(5, by="share")) == (((0,),), ())
    nothing = overlap_matrix([], run=drawn.run, viewer=cast.analyst)
    assert (nothing.segments, nothing.counts) == ((), ())


def test_more_than_a_hundred_are_refused(cast: Cast) -> None:
    drawn = draw(2)
    for number in range(MOST + 1):
        make_segment(f"m{number}", is_hidden=False)
    keys = [f"m{number}" for number in range(MOST + 1)]
    with pytest.raises(TierwiseError) as refused:
        overlap_matrix(keys, run=drawn.run, viewer=cast.analyst)
    assert refused.value.code == "too_many"
    assert refused.value.message == "At most 100 segments are compared at once."
    fits = overlap_matrix([*keys[:MOST], keys[0]], run=drawn.run, viewer=cast.analyst)
    assert len(fits.not_computed) == MOST


def test_the_largest_come_first(cast: Cast) -> None:
    drawn = draw(6)
    Segment.objects.filter(key="s1").update(retired_at=drawn.run.as_of)

    def ranked(user: User, number: int) -> list[str]:
        return largest_segments(drawn.run, viewer=user, number=number)

    for user, own_only, keys in (
        (cast.reviewer, False, set(drawn.members)),
        (cast.store_manager, True, set(drawn.members) - drawn.hidden),
    ):
        sizes = {key: len(seen(drawn, key, own_only=own_only)) for key in keys - {"s1"}}
        wanted = sorted(sizes, key=lambda key: (-sizes[key], key))
        assert ranked(user, 100) == wanted
        assert ranked(user, 3) == wanted[:3]


@pytest.mark.parametrize("segments", [10, 30])
def test_the_number_of_queries_does_not_grow(
    cast: Cast, segments: int, django_assert_max_num_queries: Any
) -> None:
    drawn = draw(9, segments=segments)
    viewer = User.objects.get(pk=cast.reviewer.pk)
    with django_assert_max_num_queries(8):
        overlap_matrix(list(drawn.members), run=drawn.run, viewer=viewer)
