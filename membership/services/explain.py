"""Why a customer is in a segment or qualifies for a tier, derived anew from the facts of a run.

Guarantee: the answer is the run's own: its as-of, watermark, definitions, cuts, manual rows,
objections and the memberships it started from; whatever changed since does not matter, except an
objection to personalised decisions, which counts at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from membership.domain.lifecycle import rank_in_version
from membership.domain.programs import Program, ProgramVersion
from membership.queries import load_definition_set, memberships_at, run_before
from membership.services.sentences import Scene, TierTrace, segment_sentence, tier_sentence
from membership.services.tier_changes import version_at
from segmentation.domain.definitions import Catalog, Label, Segment
from segmentation.domain.dependencies import lists_used
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.domain.evaluate import Oracle, Setting
from segmentation.domain.explain import document, trace
from segmentation.domain.history import CustomerHistory, HeldTier
from segmentation.models import Customer, CustomerList, Objection, Run, living
from segmentation.services.history import load_histories, read_overrides
from segmentation.services.overrides import pinned_overrides

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Subject:
    kind: str  # segment | tier
    key: str


@dataclass(frozen=True, slots=True)
class _Case:
    """One customer in front of one run."""

    run: Run
    catalog: Catalog
    programs: Mapping[str, Program]
    versions: Mapping[str, ProgramVersion]  # those in force at the as-of
    history: CustomerHistory
    oracle: Oracle
    scene: Scene


def explain(
    external_id: str,
    *,
    subject: str,
    run: Run,
    zone: ZoneInfo,
    currency: str,
) -> Json:
    """The contract's document: verdict, tree and one sentence in each language.

    `subject` is `segment:KEY` (verdict true or false) or `tier:PROGRAM` (verdict the key of the
    tier that qualifies, or null). Errors: `not_found` (customer, subject, or a customer first
    recorded after the run), `invalid` (a subject of another form).
    """
    wanted = _read_subject(subject)
    catalog, programs = load_definition_set(_definition_set(run))
    _check_subject(wanted, catalog, programs)
    case = _case(external_id, run, catalog, programs, zone=zone, currency=currency)
    found = (
        _explain_segment(case, wanted) if wanted.kind == "segment" else _explain_tier(case, wanted)
    )
    return {
        "customer_id": external_id,
        "subject": subject,
        "as_of": run.as_of.astimezone(zone).isoformat(),
        "run": run.pk,
        **found,
    }


def _read_subject(subject: str) -> _Subject:
    kind, separator, key = subject.partition(":")
    if not separator or kind not in ("segment", "tier") or not key:
        raise TierwiseError(f"{subject!r} is no subject: write segment:KEY or tier:PROGRAM.")
    return _Subject(kind, key)


def _check_subject(wanted: _Subject, catalog: Catalog, programs: Sequence[Program]) -> None:
    known: Collection[str] = (
        catalog.segments if wanted.kind == "segment" else [program.key for program in programs]
    )
    if wanted.key in known:
        return
    what = "segment" if wanted.kind == "segment" else "program"
    near = get_close_matches(wanted.key, known, n=1)
    hint = f": did you mean {near[0]}?" if near else "."
    raise NotFoundError(f"The run knows no {what} {wanted.key!r}{hint}")


def _definition_set(run: Run) -> Any:
    if run.definition_set is None or run.watermark is None:
        raise NotFoundError(f"Run {run.pk} has no results.")
    return run.definition_set


def _case(
    external_id: str,
    run: Run,
    catalog: Catalog,
    programs: Sequence[Program],
    *,
    zone: ZoneInfo,
    currency: str,
) -> _Case:
    customer = Customer.objects.filter(living(), external_id=external_id).first()
    if customer is None:
        raise NotFoundError(f"There is no customer {external_id!r}.")
    try:
        overrides = read_overrides(pinned_overrides(run), ordinals=[customer.ordinal])
    except FileNotFoundError:
        overrides = None  # the run's files are gone: what people decided is read as it is now
    # An objection counts at once, not only from the next run on.
    if overrides is not None and Objection.objects.filter(customer=customer).exists():
        overrides = replace(overrides, objecting=overrides.objecting | {customer.ordinal})
    histories = load_histories(
        [customer.pk], watermark=int(run.watermark or 0), overrides=overrides
    )
    if customer.pk not in histories:
        raise NotFoundError(
            f"Customer {external_id!r} was first recorded after run {run.pk} started."
        )
    versions = {
        program.key: version
        for program in programs
        if (version := version_at(program, run.as_of)) is not None
    }
    setting = Setting(
        catalog=catalog,
        as_of=run.as_of,
        zone=zone,
        currency=currency,
        cuts={
            key: tuple(Fraction(int(top), int(below)) for top, below in cuts)
            for key, cuts in run.cuts.items()
        },
        tier_ranks={
            key: {tier.key: tier.rank for tier in version.tiers}
            for key, version in versions.items()
        },
    )
    held = _held_before(run, external_id, versions)
    scene = Scene(
        catalog=catalog,
        programs={program.key: program for program in programs},
        tiers={
            key: {tier.key: tier.label for tier in version.tiers}
            for key, version in versions.items()
        },
        as_of=run.as_of,
        zone=zone,
        currency=currency,
        lists=_list_labels(catalog),
    )
    history = histories[customer.pk]
    oracle = Oracle(history, setting=setting, tiers_before=held)
    return _Case(run, catalog, scene.programs, versions, history, oracle, scene)


def _list_labels(catalog: Catalog) -> Mapping[str, Label]:
    """What the lists that rules read are called now."""
    used = lists_used(catalog)
    rows = CustomerList.objects.filter(key__in=used).values_list("key", "label_en", "label_zh_hans")
    return {key: Label(en, zh_hans) for key, en, zh_hans in rows} if used else {}


def _held_before(
    run: Run, external_id: str, versions: Mapping[str, ProgramVersion]
) -> Mapping[str, HeldTier]:
    """The customer's memberships that the run's `tier` leaves read, ranked in the versions in
    force."""
    read = run_before(
        run.base_run,
        as_of=run.as_of,
        watermark=run.watermark,
        definition_set_id=run.definition_set_id,
    )
    return {
        program: HeldTier(
            state.tier, rank_in_version(versions[program], tier=state.tier, rank=state.rank)
        )
        for program, state in memberships_at(read, external_id).items()
        if program in versions
    }


def _explain_segment(case: _Case, wanted: _Subject) -> Json:
    segment = case.catalog.segments[wanted.key]
    tree = trace(segment.rule, oracle=case.oracle)
    manual, objects = _decided_by_hand(segment, case.history)
    verdict = case.oracle.in_segment(segment.key)
    return {
        "verdict": verdict,
        "tree": document(tree, currency=case.scene.currency, zone=case.scene.zone),
        "manual": manual,
        "objection": objects,
        "sentence": segment_sentence(
            segment,
            verdict=verdict,
            tree=tree,
            manual=manual,
            objects=objects,
            scene=case.scene,
        ),
    }


def _decided_by_hand(segment: Segment, history: CustomerHistory) -> tuple[str | None, bool]:
    """`include` or `exclude` (which wins) if a person decided; whether an objection counts."""
    manual = "include" if segment.key in history.included else None
    if segment.key in history.excluded:
        manual = "exclude"
    return manual, segment.visibility == "hidden" and history.objects


def _explain_tier(case: _Case, wanted: _Subject) -> Json:
    version = case.versions.get(wanted.key)
    tiers = sorted(version.tiers, key=lambda tier: -tier.rank) if version else []
    traces = [TierTrace(tier, trace(tier.rule, oracle=case.oracle)) for tier in tiers]
    reached = next((found.tier.key for found in traces if found.tree.verdict), None)
    held = case.oracle.tiers_before.get(wanted.key)
    scene = case.scene
    return {
        "verdict": reached,
        "tree": {
            "node": "tiers",
            "verdict": reached is not None,
            "children": [
                {
                    "node": "tier",
                    "tier": found.tier.key,
                    "rank": found.tier.rank,
                    "verdict": found.tree.verdict,
                    "children": [document(found.tree, currency=scene.currency, zone=scene.zone)],
                }
                for found in traces
            ],
        },
        "held_before": held.tier if held else None,
        "sentence": tier_sentence(case.programs[wanted.key], traces=traces, scene=scene),
    }
