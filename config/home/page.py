"""Which blocks Home has for whom, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from config import clock
from segmentation.permissions import EDIT_DRAFTS, IMPORT_FACTS, publish_permission

from . import alerts, members, runs, work
from .blocks import Block, Viewing

_VIEW_ACCESS = "segmentation.view_accessrecord"
_VIEW_VERSION = "segmentation.view_definitionversion"
_VIEW_KEY, _ADD_KEY = "segmentation.view_apikey", "segmentation.add_apikey"
_JOBS = ("segmentation.view_job", IMPORT_FACTS, EDIT_DRAFTS)


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The theme's dashboard callback: adds the blocks that this person has the rights to.

    The order is that of the person's day: who looks customers up finds the search box first, the
    auditor who looked, the engineer the keys, everybody who runs programs what ran last night.
    """
    viewing = Viewing(
        cast(User, request.user),
        now=clock.now(),
        real_now=clock.real_now(),
        zone=ZoneInfo(settings.TIME_ZONE),
    )
    found = [*_first(viewing), *_figures(viewing), *_last(viewing)]
    blocks = without_holes([block for block in found if block])
    return {**context, "title": _("Home"), "blocks": blocks}


def without_holes(blocks: Sequence[Block]) -> list[Block]:
    """Two narrow blocks make a row; one that is left alone before a wide one becomes wide."""
    placed: list[Block] = []
    alone: int | None = None  # where the narrow block without a neighbour stands
    for block in blocks:
        if block.is_wide:
            if alone is not None:
                placed[alone] = replace(placed[alone], is_wide=True)
            alone = None
        else:
            alone = len(placed) if alone is None else None
        placed.append(block)
    if alone is not None:
        placed[alone] = replace(placed[alone], is_wide=True)
    return placed


def _first(viewing: Viewing) -> list[Block | None]:
    blocks: list[Block | None] = []
    may_see_runs = viewing.may(runs.VIEW_RUN)
    if viewing.may(members.VIEW_CUSTOMER) and not may_see_runs:
        blocks.append(members.search_block())
        if viewing.stores is not None:
            blocks.append(members.stores_block(viewing))
    if may_see_runs:
        blocks.append(work.steps_block(viewing))
    if viewing.may(_VIEW_ACCESS):
        blocks.append(work.accesses_block(viewing))
        blocks += _publishes(viewing)
    if viewing.may(_VIEW_KEY) and viewing.may(_ADD_KEY):
        blocks.append(work.keys_block())
        blocks += _imports(viewing)
    return blocks


def _figures(viewing: Viewing) -> list[Block | None]:
    blocks: list[Block | None] = []
    if viewing.may(runs.VIEW_RUN):
        blocks.append(runs.run_block(viewing))
    blocks.append(alerts.alerts_block(viewing))
    blocks.append(runs.wrong_block(viewing))
    has_work = any(viewing.may(right) for right in _JOBS)
    blocks.append(work.waiting_block(viewing, is_shown_empty=has_work))
    if viewing.may(members.VIEW_PROGRAM) and viewing.run:
        blocks.append(members.tiers_block(viewing, viewing.run))
    if viewing.may("segmentation.view_segmentresult"):
        blocks.append(work.segments_block(viewing))
    return blocks


def _last(viewing: Viewing) -> list[Block | None]:
    blocks: list[Block | None] = []
    if not viewing.may(_VIEW_ACCESS):
        blocks += _publishes(viewing)
    if viewing.may(members.VIEW_TRANSITION):
        blocks.append(members.moved_block(viewing))
    if not viewing.may(_ADD_KEY):
        blocks += _imports(viewing)
    return blocks


def _publishes(viewing: Viewing) -> list[Block]:
    """Those who publish know what they published; the others want to see it."""
    if viewing.may(publish_permission("segment")) or not viewing.may(_VIEW_VERSION):
        return []
    return [work.publishes_block(viewing)]


def _imports(viewing: Viewing) -> list[Block]:
    if not (viewing.may(IMPORT_FACTS) and viewing.may(runs.VIEW_BATCH)):
        return []
    return [work.imports_block()]
