"""Portraits of the groups that pages and exports ask about."""

from __future__ import annotations

from django.utils.translation import gettext as _

from segmentation.domain.errors import NotFoundError
from segmentation.models import Run
from segmentation.permissions import Viewer

from .portrait_results import Portrait
from .portraits import portrait
from .subjects import Subject, subject_members
from .wording import in_language


def portrait_of(subject: Subject, *, run: Run, viewer: Viewer) -> Portrait:
    """The portrait of a group at a run. Raises NotFoundError when the run has no result for it, or
    its files are gone."""
    members = subject_members(subject, run=run, viewer=viewer)
    try:
        return portrait(run, members, viewer=viewer, is_hidden=subject.is_hidden)
    except FileNotFoundError as error:
        raise NotFoundError(_("The files of this run are gone; recompute.")) from error


def subject_name(subject: Subject) -> str:
    """What a group is called in the language of now: "Value layer · high"."""
    name = in_language(subject.label)
    if subject.value is None:
        return name
    return f"{name} · {in_language(subject.part) if subject.part else subject.value}"
