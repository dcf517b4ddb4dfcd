"""Reads for screens, endpoints and commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext as _
from pyroaring import BitMap

from segmentation.domain.errors import NotFoundError
from segmentation.models import Customer, Installation, Objection, Run, SegmentResult


def installation() -> Installation | None:
    """What was fixed at set-up; None before the database is set up."""
    return Installation.objects.filter(pk=1).first()


def newest_published_run() -> Run | None:
    """The run whose results are current: newest as-of, the last made of equals."""
    return Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-as_of", "-pk").first()


def run_answering(as_of: datetime | None = None) -> Run:
    """The run that answers for an as-of: the newest not after it, the last made of equals.

    Published and historical runs answer. Raises NotFoundError when there is none.
    """
    runs = Run.objects.filter(status__in=(Run.Status.PUBLISHED, Run.Status.HISTORICAL))
    if as_of is not None:
        runs = runs.filter(as_of__lte=as_of)
    found = runs.order_by("-as_of", "-pk").first()
    if found is None:
        if as_of is None:
            raise NotFoundError(
                _("There is no published run. Make one: manage.py recompute --wait")
            )
        message = _(
            "There is no published run at or before %(as_of)s. Make one: manage.py recompute --wait"
        )
        raise NotFoundError(message % {"as_of": as_of.isoformat()})
    return found


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Bitmap positions of customers who must not be shown although a stored result has them.

    The erased ones and those merged into somebody else are in no answer any more; those who object
    to personalised decisions in none about a hidden segment, from the moment they object.
    """

    erased: BitMap
    objecting: BitMap

    def removed_from(self, members: BitMap, *, is_hidden: bool) -> BitMap:
        """The members that may still be shown."""
        kept = members - self.erased
        return kept - self.objecting if is_hidden else kept

    def changes_nothing(self, *, is_hidden: bool) -> bool:
        """Whether a stored size can be shown as it is."""
        return not self.erased and not (is_hidden and self.objecting)


def withdrawn() -> Withdrawn:
    """Who is erased or merged and who objects, as of now: two queries."""
    # Two partial indexes answer this; as the negation of `living` it would read everybody.
    gone = Q(erased_at__isnull=False) | Q(merged_into__isnull=False)
    erased = Customer.objects.filter(gone).values_list("ordinal", flat=True)
    objecting = Objection.objects.values_list("customer__ordinal", flat=True)
    return Withdrawn(BitMap(erased.iterator()), BitMap(objecting.iterator()))


def segment_members(run: Run, key: str) -> BitMap:
    """Members of a segment at a run, as published, without those who may not be shown any more.

    Raises NotFoundError.
    """
    result = SegmentResult.objects.select_related("segment").filter(run=run, segment__key=key)
    found = result.defer("segment__document", "entered", "left").first()
    if found is None:
        raise NotFoundError(f"Run {run.pk} has no segment {key}.")
    members = BitMap.deserialize(bytes(found.members))
    return withdrawn().removed_from(members, is_hidden=found.segment.is_hidden)
