"""Held runs: what they would change, and a person's decision about them.

Guarantee: releasing publishes exactly the stored result, once, whoever clicks how often; nothing is
computed again. Until then, and after a rejection, the last published result stays what everybody
reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pghistory
import pyarrow as pa
import pyarrow.parquet as pq
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from membership.services.publish_run import apply_run_changes, refuse_removed_tiers
from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.engine.mirror_files import fsync_path
from segmentation.engine.results import run_folder
from segmentation.models import Run
from segmentation.permissions import RELEASE_RUN
from segmentation.queries import newest_published_run
from segmentation.services.definitions import lock_definitions
from segmentation.services.run_errors import OVERTAKEN, REJECTED

_FILE = "tier_changes.parquet"
LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class Move:
    """How many customers a held run would move; "" is no tier. A renewal or the start of a grace
    period stays in its tier, `kind` tells them apart."""

    program: str
    kind: str
    before: str
    after: str
    customers: int


def write_held_changes(changes: pa.Table, folder: Path) -> None:
    """Keep the tier changes of a run that is held among its files: releasing writes these."""
    pq.write_table(changes, folder / _FILE)
    fsync_path(folder / _FILE)


def held_moves(run: Run) -> tuple[Move, ...]:
    """The tier changes that releasing would write, counted; () when their file is gone."""
    path = run_folder(run.pk) / _FILE
    if not path.is_file():
        return ()
    table = pq.read_table(path, columns=["program", "kind", "from_tier", "tier"])
    counted = table.group_by(["program", "kind", "from_tier", "tier"]).aggregate(
        [([], "count_all")]
    )
    found = [
        Move(
            row["program"], row["kind"], row["from_tier"] or "", row["tier"] or "", row["count_all"]
        )
        for row in counted.to_pylist()
    ]
    return tuple(sorted(found, key=lambda move: (move.program, -move.customers, move.kind)))


def release_run(run_id: int, *, user: User, reason: str, now: datetime) -> Run:
    """Publish what a held run found. `now` is the real clock's.

    The same decision of the same person again (a double click) changes nothing. Errors:
    `forbidden`, `reason_required`, `not_found`, `wrong_state` when somebody decided otherwise,
    `overtaken` when another run was published or held since, `definitions_changed` when a tier it
    would give was removed, `files_missing`.
    """
    actor, reason = _asked(user, reason)
    with transaction.atomic():
        # As when definitions are applied: nothing is published or erased meanwhile.
        lock_definitions(exclusive=True)
        run = _locked(run_id)
        if _is_done(run, Run.Decision.RELEASED, actor=actor):
            return run
        newest = newest_published_run()
        if (None if newest is None else newest.pk) != run.base_run_id:
            raise TierwiseError(
                _("Another run was published since; this one can only be rejected."),
                code=OVERTAKEN,
            )
        changes = _held_changes(run)
        _refuse_lost_tiers(changes)
        with pghistory.context(actor=actor, reason=reason, run=run.pk):
            apply_run_changes(
                run,
                changes,
                watermark=run.watermark or 0,
                instant_before=run.instant_before,
                now=now,
            )
        _decide(run, Run.Decision.RELEASED, actor=actor, reason=reason, now=now)
        run.status = Run.Status.PUBLISHED
        run.save()
        transaction.on_commit(lambda: _remove_changes(run.pk))
    return run


def reject_run(run_id: int, *, user: User, reason: str, now: datetime) -> Run:
    """End a held run without publishing it; the last published result stays. `now` is the real
    clock's. Errors as of `release_run`, without the last three."""
    actor, reason = _asked(user, reason)
    with transaction.atomic():
        lock_definitions(exclusive=True)
        run = _locked(run_id)
        if _is_done(run, Run.Decision.REJECTED, actor=actor):
            return run
        _decide(run, Run.Decision.REJECTED, actor=actor, reason=reason, now=now)
        run.status = Run.Status.FAILED
        run.error = f"Rejected by {actor}: {reason}"
        run.error_code = REJECTED
        run.save()
        transaction.on_commit(lambda: _remove_changes(run.pk))
    return run


def _asked(user: User, reason: str) -> tuple[str, str]:
    if not user.has_perm(RELEASE_RUN):
        raise TierwiseError(_("You may not decide about held runs."), code="forbidden")
    reason = reason.strip()
    if not reason:
        message = _("A reason is required.")
        problems = (Problem("/reason", "reason_required", message),)
        raise TierwiseError(message, code="reason_required", problems=problems)
    return user.get_username(), reason[:LONGEST_REASON]


def _locked(run_id: int) -> Run:
    run = Run.objects.select_for_update().filter(pk=run_id).first()
    if run is None:
        raise NotFoundError(_("There is no such run."))
    return run


def _is_done(run: Run, wanted: str, *, actor: str) -> bool:
    """Whether this person decided just so already. Raises when it is not theirs to decide now."""
    if run.status == Run.Status.HELD:
        return False
    if run.decision == wanted and run.decided_by == actor:
        return True
    if run.decision == Run.Decision.OVERTAKEN:
        raise TierwiseError(
            _("A newer run has taken the place of this one; nothing was changed."), code=OVERTAKEN
        )
    message = _("Run %(run)s is not held.") % {"run": run.pk}
    if run.decision == Run.Decision.RELEASED:
        message = _("%(person)s has released this run already.") % {"person": run.decided_by}
    elif run.decision == Run.Decision.REJECTED:
        message = _("%(person)s has rejected this run already.") % {"person": run.decided_by}
    raise TierwiseError(message, code="wrong_state")


def _held_changes(run: Run) -> pa.Table:
    path = run_folder(run.pk) / _FILE
    if not path.is_file():
        raise TierwiseError(
            _("The files of this run are gone; reject it and start a new run."),
            code="files_missing",
        )
    return pq.read_table(path)


def _refuse_lost_tiers(changes: pa.Table) -> None:
    try:
        refuse_removed_tiers(changes)
    except TierwiseError as error:
        raise TierwiseError(
            _("A tier that this run would give has been removed. Reject it and start a new run."),
            code=error.code,
        ) from error


def _decide(run: Run, decision: str, *, actor: str, reason: str, now: datetime) -> None:
    run.decision = decision
    run.decided_by = actor
    run.decided_at = now
    run.decision_reason = reason
    line: Mapping[str, str] = {"at": now.isoformat(), "message": f"{decision} by {actor}: {reason}"}
    run.log = [*run.log, line]


def _remove_changes(run_id: int) -> None:
    """What was written is in the transitions, what was not is nobody's; it names customers."""
    (run_folder(run_id) / _FILE).unlink(missing_ok=True)
