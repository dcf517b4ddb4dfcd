"""What is wrong with a draft, told only in words that its reader may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.permissions import Viewer
from segmentation.queries import newest_published_run

from .draft_definitions import DraftDefinitions, draft_definitions, reach
from .draft_runs import is_quick


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything found in a definitions document; `draft` only without problems."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    draft: DraftDefinitions | None = None


def judged(document: Mapping[str, Any], *, viewer: Viewer) -> Judged:
    """What applying the document would complain about, as `viewer` may be told."""
    try:
        draft = draft_definitions(document, viewer=viewer)
    except TierwiseError as error:
        return Judged(error.problems or (Problem("", error.code, error.message),))
    return Judged((), draft.checked.warnings, draft)


def answers_at_once(draft: DraftDefinitions, subject: Ref) -> bool:
    """Whether a preview of `subject` needs nothing that the newest run has not computed."""
    run = newest_published_run()
    if run is None:
        return True  # the preview itself says that there is nothing to compare with
    return is_quick(draft, reach(draft, [subject], as_of=run.as_of), run=run)
