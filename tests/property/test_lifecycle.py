"""Invariants of the lifecycle over generated programs, zones and sequences of runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from membership.domain.lifecycle import Decision, Held, decide
from membership.domain.programs import ProgramVersion, Term, Tier
from segmentation.domain.definitions import Label
from segmentation.domain.rules import All
from segmentation.domain.windows import local_day, local_midnight

ZONES = [
    "Asia/Shanghai", "America/New_York", "America/Sao_Paulo", "Pacific/Kiritimati",
    "Pacific/Pago_Pago", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC",
]  # fmt: skip
INSTANTS = st.integers(0, 17 * 365 * 86_400).map(
    lambda seconds: datetime(2008, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


def _terms(shortest: int) -> st.SearchStrategy[Term]:
    return st.builds(
        Term, years=st.integers(0, 4), months=st.integers(0, 14), days=st.integers(shortest, 60)
    )


@st.composite
def versions(draw: st.DrawFn) -> ProgramVersion:
    ranks = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5, unique=True))
    return ProgramVersion(
        number=1,
        effective_from=date(2000, 1, 1),
        tiers=tuple(Tier(str(r), r, Label("", ""), All(())) for r in sorted(ranks)),
        keep_for=draw(st.none() | _terms(1)),
        grace=draw(st.just(Term()) | _terms(0)),
        downgrade=draw(st.sampled_from(["one_level", "by_value"])),
    )


def _after(decision: Decision) -> Held | None:
    if decision.rank is None:
        return None
    assert decision.since is not None
    return Held(decision.rank, decision.since, decision.until, decision.grace_until)


@settings(max_examples=300)
@given(data=st.data(), version=versions(), name=st.sampled_from(ZONES))
def test_every_run_of_a_history_keeps_the_invariants(
    data: st.DataObject, version: ProgramVersion, name: str
) -> None:
    """P07: ends stay local midnights in zones UTC-11 to UTC+14 and across skipped days."""
    zone = ZoneInfo(name)
    ranks = [tier.rank for tier in version.tiers]
    gaps = st.sampled_from([0, 1, 3600, 86_400, 31 * 86_400, 400 * 86_400])
    as_of = data.draw(INSTANTS)
    held: Held | None = None
    for _ in range(12):
        qualified = data.draw(st.none() | st.sampled_from(ranks))
        got = decide(version, held=held, qualified_rank=qualified, as_of=as_of, zone=zone)
        _check(version, held, got, qualified, as_of, zone)
        held = _after(got)
        again = decide(version, held=held, qualified_rank=qualified, as_of=as_of, zone=zone)
        assert again.kind == "none"
        assert _after(again) == held
        # Often straight at an end, where off-by-one mistakes live.
        ends = [end for end in (held.until, held.grace_until) if end] if held else []
        ahead = [end for end in ends if end > as_of]
        if ahead and data.draw(st.booleans()):
            as_of = data.draw(st.sampled_from(ahead))
        else:
            as_of += timedelta(seconds=data.draw(gaps))


def _check(
    version: ProgramVersion,
    held: Held | None,
    got: Decision,
    qualified: int | None,
    as_of: datetime,
    zone: ZoneInfo,
) -> None:
    after = _after(got)
    if held is None:
        assert got.kind == ("none" if qualified is None else "entry")
        assert got.rank == qualified
    if after is None:
        if held is not None:
            assert got.kind == "exit"
            assert qualified is None
        return
    # Who qualifies is never below the rank that qualifies.
    assert qualified is None or after.rank >= qualified
    if after.until is not None:
        assert after.until > as_of or (after.grace_until is not None and after.grace_until > as_of)
    for end in (after.until, after.grace_until):
        assert end is None or end == local_midnight(local_day(end, zone), zone)
    if held is None:
        return
    if got.kind == "none":
        assert after == held
    if got.kind in ("renewal", "grace"):
        assert (after.since, after.rank) == (held.since, held.rank)
        assert held.until is not None
        assert held.until <= as_of
    if got.kind == "renewal":
        assert after.until is None or after.until > as_of
        assert after.grace_until is None
    if got.kind == "grace":
        assert after.until == held.until
    if got.kind == "upgrade":
        assert after.rank == qualified
        assert after.rank > held.rank
    if got.kind == "downgrade":
        lower = [tier.rank for tier in version.tiers if tier.rank < held.rank]
        assert after.rank == (qualified if version.downgrade == "by_value" else max(lower))
        assert held.until is not None
        assert as_of >= (held.grace_until or held.until)
    if got.kind in ("entry", "upgrade", "downgrade"):
        assert after.since == as_of
        assert after.grace_until is None
        assert (after.until is None) == (version.keep_for is None)
    if held.until is None or as_of < held.until:
        assert got.kind in ("none", "upgrade")


@settings(max_examples=200)
@given(
    version=versions(), name=st.sampled_from(ZONES), start=INSTANTS, days=st.integers(0, 3000),
    data=st.data(),
)  # fmt: skip
def test_a_late_run_renews_to_the_same_end_as_timely_ones(
    version: ProgramVersion, name: str, start: datetime, days: int, data: st.DataObject
) -> None:
    zone = ZoneInfo(name)
    rank = data.draw(st.sampled_from([tier.rank for tier in version.tiers]))
    late = start + timedelta(days=days)
    held = _after(decide(version, held=None, qualified_rank=rank, as_of=start, zone=zone))
    assert held is not None
    at_once = _after(decide(version, held=held, qualified_rank=rank, as_of=late, zone=zone))
    while held.until is not None and held.until <= late:
        timely = decide(version, held=held, qualified_rank=rank, as_of=held.until, zone=zone)
        assert timely.kind == "renewal"
        held = _after(timely)
        assert held is not None
    assert at_once == held
