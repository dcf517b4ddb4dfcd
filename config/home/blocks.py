"""What Home is made of: blocks, each for those with the right to what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.utils.functional import cached_property

from membership.services.tier_figures import earlier_published_run
from segmentation.admin.shown import Table
from segmentation.models import Run
from segmentation.permissions import row_scope
from segmentation.queries import newest_published_run


@dataclass(frozen=True)
class Block:
    """One card of Home: a template with what it needs. `is_wide` ones take the whole row."""

    key: str  # its id on the page
    template: str
    context: Mapping[str, Any] = field(default_factory=dict)
    is_wide: bool = True


def table_block(key: str, table: Table, *, is_wide: bool = True) -> Block:
    """A block that is nothing but a table."""
    return Block(key, "admin/table.html", {"table": table}, is_wide=is_wide)


class Viewing:
    """Who looks at Home and when; what several blocks need is read once.

    `now` is the project's time, `real_now` the machine's.
    """

    def __init__(self, user: User, *, now: datetime, real_now: datetime, zone: ZoneInfo) -> None:
        self.user = user
        self.now = now
        self.real_now = real_now
        self.zone = zone

    def may(self, right: str) -> bool:
        return self.user.has_perm(right)

    @cached_property
    def stores(self) -> tuple[str, ...] | None:
        """The home stores this person is confined to; None: none."""
        return row_scope(self.user)

    @cached_property
    def run(self) -> Run | None:
        """The run whose results are current."""
        return newest_published_run()

    @cached_property
    def run_before(self) -> Run | None:
        """The published run that changes are measured from."""
        return earlier_published_run(self.run) if self.run else None
