"""What a run that has not ended is doing, in words."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config import clock
from segmentation.models import Run
from segmentation.services.run_progress import RunProgress, run_progress, runs_before

from . import shown
from .run_stages import stage_words

WAITING = (Run.Status.QUEUED, Run.Status.RUNNING)
# What each stage does, for whoever waits for it.
DOES = {
    "mirror": gettext_lazy("Takes the newest facts into the mirror."),
    "plan": gettext_lazy("Reads the definitions and makes the plan."),
    "facts": gettext_lazy("Opens the facts of this as-of and divides refunds."),
    "metrics": gettext_lazy("Computes each metric of each customer."),
    "cuts": gettext_lazy("Finds the cut points that are percentiles."),
    "rules": gettext_lazy("Decides layers, tags and segments."),
    "tiers": gettext_lazy("Decides who moves between tiers."),
    "snapshot": gettext_lazy("Writes what was found about each customer."),
    "bitmaps": gettext_lazy("Gathers the members of each segment."),
    "parity": gettext_lazy("Checks a sample of customers a second way."),
    "breaker": gettext_lazy("Compares sizes and facts with what is usual."),
    "postgresql": gettext_lazy("Writes results and tier changes, then publishes."),
}


@dataclass(frozen=True)
class ShownProgress:
    """Lines of text; `percent` None when nobody can know."""

    what: str
    lines: tuple[str, ...]
    percent: int | None = None


def progress_words(run: Run) -> ShownProgress | None:
    """None for a run that has ended."""
    if run.status not in WAITING:
        return None
    if run.status == Run.Status.QUEUED:
        is_paused = run.not_before is not None and run.not_before > clock.real_now()
        what = _("It is tried again after a pause.") if is_paused else _("Waiting for a worker.")
        return ShownProgress(what, _of_queued(run))
    found = run_progress(run, now=clock.real_now())
    percent = None if found.done is None else round(found.done * 100)
    lines = (str(DOES.get(run.stage, "")), _times(found), *_attempts(run), *_stopping(run))
    return ShownProgress(_doing(run, found), tuple(filter(None, lines)), percent)


def _doing(run: Run, found: RunProgress) -> str:
    if not found.stage:
        return stage_words(run.stage) or "…"
    return _("Stage %(stage)s of %(stages)s: %(name)s") % {
        "stage": found.stage, "stages": found.stages, "name": stage_words(run.stage),
    }  # fmt: skip


def _times(found: RunProgress) -> str:
    elapsed = _duration(found.elapsed)
    if found.usual is None:
        return _("For %(elapsed)s; there is no earlier run to compare with.") % {"elapsed": elapsed}
    return _("For %(elapsed)s; the last runs took %(usual)s.") % {
        "elapsed": elapsed, "usual": _duration(found.usual),
    }  # fmt: skip


def _duration(seconds: float) -> str:
    if seconds < 120:
        return _("%(seconds)s s") % {"seconds": f"{seconds:.0f}"}
    return _("%(minutes)s min") % {"minutes": f"{seconds / 60:.0f}"}


def _of_queued(run: Run) -> tuple[str, ...]:
    now = clock.real_now()
    lines: list[str] = []
    if run.not_before is not None and run.not_before > now:
        lines.append(_("The next attempt is at %(at)s.") % {"at": shown.instant(run.not_before)})
    elif ahead := runs_before(run, now=now):
        lines.append(
            ngettext("%(count)s run is before it.", "%(count)s runs are before it.", ahead)
            % {"count": ahead}
        )
    return (*lines, *_attempts(run), *_stopping(run))


def _attempts(run: Run) -> tuple[str, ...]:
    failed = run.attempts if run.status == Run.Status.QUEUED else run.attempts - 1
    if failed < 1:
        return ()
    text = ngettext(
        "%(count)s attempt came to nothing; the log below says why.",
        "%(count)s attempts came to nothing; the log below says why.",
        failed,
    )
    return (text % {"count": failed},)


def _stopping(run: Run) -> tuple[str, ...]:
    if run.cancelled_at is None:
        return ()
    return (_("%(person)s stopped it; it ends within moments.") % {"person": run.cancelled_by},)
