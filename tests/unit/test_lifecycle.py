"""The numbered cases of docs/algorithms/lifecycle.md."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from membership.domain.lifecycle import Decision, Held, decide, rank_in_version
from membership.domain.programs import ProgramVersion, Term, Tier
from segmentation.domain.definitions import Label
from segmentation.domain.rules import All

SHANGHAI = ZoneInfo("Asia/Shanghai")


def tier(rank: int, key: str = "") -> Tier:
    key = key or f"tier_{rank}"
    return Tier(key=key, rank=rank, label=Label(key, key), rule=All(()))


VERSION = ProgramVersion(
    number=1,
    effective_from=date(2017, 1, 1),
    tiers=(tier(1), tier(2), tier(3)),
    keep_for=Term(months=12),
    grace=Term(days=30),
)
BY_VALUE = replace(VERSION, downgrade="by_value")


def at(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


SINCE = at("2017-03-05T14:00")
UNTIL = at("2018-03-05")
GRACE_END = at("2018-04-04")
RUNNING = Held(rank=2, since=SINCE, until=UNTIL)
IN_GRACE = Held(rank=2, since=SINCE, until=UNTIL, grace_until=GRACE_END)


def decided(
    held: Held | None,
    qualified: int | None,
    as_of: str,
    *,
    version: ProgramVersion = VERSION,
    zone: ZoneInfo = SHANGHAI,
) -> Decision:
    return decide(version, held=held, qualified_rank=qualified, as_of=at(as_of, zone), zone=zone)


def unchanged(held: Held) -> Decision:
    return Decision("none", held.rank, held.since, held.until, held.grace_until, ())


def anew(kind: str, rank: int, since: str, until: str, *reasons: str) -> Decision:
    return Decision(kind, rank, at(since), at(until), None, reasons)  # type: ignore[arg-type]


EXIT = Decision("exit", None, None, None, None, ("grace_ended", "qualifies_for_none"))


def test_nobody_stays_nobody() -> None:
    """L01."""
    assert decided(None, None, "2017-03-05") == Decision("none", None, None, None, None, ())


def test_entry_is_directly_at_the_qualified_rank() -> None:
    """L02."""
    expected = anew("entry", 2, "2017-03-05T14:00", "2018-03-05", "qualifies")
    assert decided(None, 2, "2017-03-05T14:00") == expected


def test_without_keep_for_a_tier_is_held_for_good() -> None:
    """L03."""
    version = replace(VERSION, keep_for=None)
    entered = decided(None, 1, "2017-03-05T14:00", version=version)
    assert entered == Decision("entry", 1, SINCE, None, None, ("qualifies",))
    held = Held(rank=1, since=SINCE, until=None)
    assert decided(held, None, "2037-03-05", version=version) == unchanged(held)


@pytest.mark.parametrize("qualified", [None, 1, 2])
@pytest.mark.parametrize("as_of", ["2017-03-05T14:00", "2018-03-04T23:59:59.999999"])
def test_a_term_is_kept_and_does_not_slide(qualified: int | None, as_of: str) -> None:
    """L04, L05."""
    assert decided(RUNNING, qualified, as_of) == unchanged(RUNNING)


def test_upgrade_sets_both_anew() -> None:
    """L06."""
    held = Held(rank=1, since=SINCE, until=UNTIL)
    expected = anew("upgrade", 3, "2017-06-01T09:00", "2018-06-01", "qualifies_higher")
    assert decided(held, 3, "2017-06-01T09:00") == expected


@pytest.mark.parametrize(
    ("as_of", "until"),
    [
        ("2018-03-05", "2019-03-05"),
        ("2018-03-20", "2019-03-05"),
        ("2019-03-04T23:59:59", "2019-03-05"),
        ("2019-03-05", "2020-03-05"),
        ("2020-07-01", "2021-03-05"),
    ],
)
def test_renewal_counts_from_the_old_until_and_leaves_since(as_of: str, until: str) -> None:
    """L07, L08, L09, L20."""
    expected = Decision("renewal", 2, SINCE, at(until), None, ("term_ended", "qualifies"))
    assert decided(RUNNING, 2, as_of) == expected


@pytest.mark.parametrize(
    ("qualified", "reason"), [(1, "qualifies_lower"), (None, "qualifies_for_none")]
)
@pytest.mark.parametrize("as_of", ["2018-03-05", "2018-04-03T23:59:59"])
def test_grace_after_the_term(as_of: str, qualified: int | None, reason: str) -> None:
    """L10, L11."""
    expected = Decision("grace", 2, SINCE, UNTIL, GRACE_END, ("term_ended", reason))
    assert decided(RUNNING, qualified, as_of) == expected
    assert decided(IN_GRACE, qualified, as_of) == unchanged(IN_GRACE)


@pytest.mark.parametrize(
    ("as_of", "until", "reason"),
    [
        ("2018-03-20T10:00", "2019-03-20", "in_grace"),
        ("2018-04-03T23:59:59", "2019-04-03", "in_grace"),
        ("2018-04-04", "2019-04-04", "grace_ended"),
        ("2018-04-10T08:00", "2019-04-10", "grace_ended"),
    ],
)
def test_qualifying_in_grace_renews_from_that_run(as_of: str, until: str, reason: str) -> None:
    """L12, L21."""
    expected = Decision("renewal", 2, SINCE, at(until), None, (reason, "qualifies"))
    assert decided(IN_GRACE, 2, as_of) == expected


@pytest.mark.parametrize("as_of", ["2018-03-20T10:00", "2018-04-10T10:00"])
def test_upgrade_comes_first_in_and_after_grace(as_of: str) -> None:
    """L13."""
    expected = anew("upgrade", 3, as_of, f"2019{as_of[4:10]}", "qualifies_higher")
    assert decided(IN_GRACE, 3, as_of) == expected
    assert decided(RUNNING, 3, as_of) == expected


@pytest.mark.parametrize("as_of", ["2018-04-04", "2018-05-01T10:00"])
def test_one_level_goes_one_step_down(as_of: str) -> None:
    """L14."""
    held = replace(IN_GRACE, rank=3)
    reasons = ("grace_ended", "qualifies_lower")
    assert decided(held, 1, as_of) == anew("downgrade", 2, as_of, f"2019{as_of[4:10]}", *reasons)


def test_by_value_goes_to_the_rank_that_qualifies_or_out() -> None:
    """L15, L16."""
    held = replace(IN_GRACE, rank=3)
    assert decided(held, 1, "2018-04-04", version=BY_VALUE) == anew(
        "downgrade", 1, "2018-04-04", "2019-04-04", "grace_ended", "qualifies_lower"
    )
    assert decided(held, None, "2018-04-04", version=BY_VALUE) == EXIT


def test_the_lowest_rank_goes_out() -> None:
    """L17."""
    assert decided(replace(IN_GRACE, rank=1), None, "2018-04-04") == EXIT


@pytest.mark.parametrize("as_of", ["2018-04-04", "2025-06-01T10:00"])
def test_a_run_past_grace_goes_down_at_once_one_step(as_of: str) -> None:
    """L18."""
    held = replace(RUNNING, rank=3)
    until = f"{int(as_of[:4]) + 1}{as_of[4:10]}"
    reasons = ("grace_ended", "qualifies_for_none")
    assert decided(held, None, as_of) == anew("downgrade", 2, as_of, until, *reasons)


@pytest.mark.parametrize("qualified", [None, 1])
def test_grace_of_nothing_goes_down_at_once(qualified: int | None) -> None:
    """L19."""
    result = decided(RUNNING, qualified, "2018-03-05", version=replace(VERSION, grace=Term()))
    verdict = "qualifies_for_none" if qualified is None else "qualifies_lower"
    assert result == anew("downgrade", 1, "2018-03-05", "2019-03-05", "term_ended", verdict)


def test_a_removed_rank_counts_as_the_next_lower_one() -> None:
    """L22."""
    version = replace(VERSION, tiers=(tier(1), tier(2)))
    held = replace(RUNNING, rank=3)
    assert decided(held, 2, "2018-03-04", version=version) == unchanged(held)
    renewed = decided(held, 2, "2018-03-05", version=version)
    assert (renewed.kind, renewed.rank, renewed.until) == ("renewal", 2, at("2019-03-05"))
    grace = decided(held, 1, "2018-03-05", version=version)
    assert (grace.kind, grace.rank, grace.grace_until) == ("grace", 2, GRACE_END)
    down = decided(held, None, "2018-04-04", version=version)
    assert (down.kind, down.rank) == ("downgrade", 1)


def test_a_rank_below_all_others_goes_out() -> None:
    """L23."""
    version = replace(VERSION, tiers=(tier(2), tier(3)))
    held = replace(RUNNING, rank=1)
    assert decided(held, None, "2018-04-04", version=version) == EXIT
    assert decided(held, 2, "2018-04-04", version=version).kind == "upgrade"


@pytest.mark.parametrize("grace", [Term(), Term(days=90)])
def test_a_promised_grace_period_is_not_moved(grace: Term) -> None:
    """L24."""
    version = replace(VERSION, grace=grace)
    assert decided(IN_GRACE, None, "2018-04-03", version=version) == unchanged(IN_GRACE)
    assert decided(IN_GRACE, None, "2018-04-04", version=version).kind == "downgrade"


def test_a_later_version_without_keep_for_renews_for_good() -> None:
    """L25."""
    version = replace(VERSION, keep_for=None)
    reasons = ("term_ended", "qualifies")
    expected = Decision("renewal", 2, SINCE, None, None, reasons)
    assert decided(RUNNING, 2, "2018-03-05", version=version) == expected


def test_a_later_version_does_not_end_what_is_held_for_good() -> None:
    """L26."""
    held = replace(RUNNING, until=None)
    assert decided(held, None, "2030-01-01") == unchanged(held)
    assert decided(held, 3, "2030-01-01").until == at("2031-01-01")


def test_one_level_skips_ranks_that_do_not_exist() -> None:
    """L27."""
    version = replace(VERSION, tiers=(tier(1), tier(3)))
    down = decided(replace(IN_GRACE, rank=3), 1, "2018-04-04", version=version)
    assert (down.kind, down.rank) == ("downgrade", 1)


def test_the_same_as_of_again_takes_no_second_step() -> None:
    """L28."""
    first = decided(replace(IN_GRACE, rank=3), 1, "2018-04-04")
    assert first.rank == 2
    assert first.since is not None
    again = Held(first.rank, first.since, first.until, first.grace_until)
    assert decided(again, 1, "2018-04-04") == unchanged(again)


@pytest.mark.parametrize(
    ("term", "since", "untils"),
    [
        (Term(months=1), "2018-01-31", ["2018-02-28", "2018-03-28", "2018-04-28"]),
        (Term(years=1), "2016-02-29", ["2017-02-28", "2018-02-28", "2019-02-28", "2020-02-28"]),
        (Term(years=4), "2016-02-29", ["2020-02-29", "2024-02-29"]),
        (Term(months=1, days=1), "2018-01-31", ["2018-03-01", "2018-04-02"]),
    ],
)
def test_terms_clamp_and_chain(term: Term, since: str, untils: list[str]) -> None:
    """L30, L31, L32, L33; P07: 29 February."""
    version = replace(VERSION, keep_for=term)
    result = decided(None, 2, since, version=version)
    for until in untils:
        assert result.until == at(until)
        assert result.since == at(since)
        held = Held(2, at(since), result.until)
        result = decided(held, 2, until, version=version)
    # A single late run reaches the same end as a run at every end.
    late = decided(Held(2, at(since), at(untils[0])), 2, untils[-1], version=version)
    assert late.until == result.until


@pytest.mark.parametrize(
    ("zone", "since", "term", "until"),
    [
        ("Pacific/Kiritimati", "2017-12-31T10:00", Term(months=12), "2018-12-31T10:00"),
        ("Pacific/Pago_Pago", "2018-01-01T10:59:59", Term(months=12), "2018-12-31T11:00"),
        ("Asia/Kathmandu", "2018-01-01T18:15", Term(months=12), "2019-01-01T18:15"),
        ("Asia/Kathmandu", "2018-01-01T18:14:59", Term(months=12), "2018-12-31T18:15"),
        ("America/New_York", "2018-02-20T15:00", Term(months=1), "2018-03-20T04:00"),
        ("America/New_York", "2018-10-20T15:00", Term(days=30), "2018-11-19T05:00"),
        ("America/Sao_Paulo", "2017-11-04T12:00", Term(months=12), "2018-11-04T03:00"),
        # Both days on which the clock changes, as the end of a term.
        ("America/New_York", "2018-02-11T15:00", Term(months=1), "2018-03-11T05:00"),
        ("America/New_York", "2018-10-04T15:00", Term(months=1), "2018-11-04T04:00"),
    ],
)
def test_ends_are_midnights_of_the_programs_zone(
    zone: str, since: str, term: Term, until: str
) -> None:
    """L40 to L45; P07: UTC+14, UTC-11, Nepal, both changes of the clock."""
    there = ZoneInfo(zone)
    since_at = datetime.fromisoformat(since).replace(tzinfo=UTC)
    version = replace(VERSION, keep_for=term)
    entered = decide(version, held=None, qualified_rank=1, as_of=since_at, zone=there)
    assert entered.since == since_at
    assert entered.until == datetime.fromisoformat(until).replace(tzinfo=UTC)


def test_the_end_of_grace_is_a_local_midnight_across_the_clock_change() -> None:
    """L44."""
    zone = ZoneInfo("America/New_York")
    held = Held(2, at("2017-10-20T09:00", zone), at("2018-10-20", zone))
    result = decided(held, None, "2018-10-20", zone=zone)
    assert result.grace_until == datetime(2018, 11, 19, 5, tzinfo=UTC)


def test_since_is_the_instant_of_the_run_in_utc() -> None:
    entered = decided(None, 2, "2017-03-05T14:00")
    assert entered.since is not None
    assert entered.since.isoformat() == "2017-03-05T06:00:00+00:00"


def test_a_held_tier_keeps_its_key_when_ranks_move() -> None:
    version = replace(VERSION, tiers=(tier(1, "silver"), tier(2, "rose"), tier(3, "gold")))
    assert rank_in_version(version, tier="gold", rank=2) == 3
    assert rank_in_version(version, tier="gone", rank=2) == 2


def test_a_rank_the_version_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="version 1 has no rank 4"):
        decided(None, 4, "2017-03-05")


def test_a_term_of_no_length_is_refused_instead_of_renewed_for_ever() -> None:
    with pytest.raises(ValueError, match="keeps a tier for no time"):
        decided(RUNNING, 2, "2018-03-05", version=replace(VERSION, keep_for=Term()))


def test_a_term_beyond_the_calendar_ends_on_its_last_day() -> None:
    version = replace(VERSION, keep_for=Term(years=9000))
    assert decided(None, 2, "2017-03-05", version=version).until == datetime(
        9999, 12, 31, tzinfo=UTC
    )
