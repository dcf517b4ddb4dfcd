"""Pages of programs: their tiers and rules, who is in them, and what the last run moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from config import clock
from membership.models import Program, ProgramVersion
from membership.services.program_versions import version_in_force
from membership.services.tier_figures import TierSize, in_grace, tier_sizes
from segmentation.admin import shown
from segmentation.admin.base import EMPTY
from segmentation.admin.definition_pages import DefinitionPageAdmin
from segmentation.admin.exports import export_url
from segmentation.models import Run
from segmentation.queries import newest_published_run

from . import program_panels
from .links import memberships_url
from .program_versions import lifecycle_facts, sentences
from .program_versions import tier_table as tier_table
from .wording import bounded_words, count_link


@admin.register(Program)
class ProgramAdmin(DefinitionPageAdmin):
    """Programs with their members; one's page in two parts, the program now and its versions."""

    kind = "program"
    page_template = "admin/programs/page.html"
    list_display = (
        "star", "name", "key", "members", "version_shown", "effective", "folder", "owner",
        "changed",
    )  # fmt: skip
    nothing_yet = _(
        "A program promises tiers for what members reach, such as gold for spending 10,000 in a "
        "year. Make one from nothing, from a template or from a definitions document."
    )

    def complete(self, rows: list[Any], *, request: HttpRequest) -> None:
        run = newest_published_run()
        sizes: dict[str, int] = {}
        for each in tier_sizes(request.user, run=run) if run else ():
            sizes[each.program] = sizes.get(each.program, 0) + each.size
        now = clock.now()
        for row in rows:
            row.shown_members = sizes.get(row.key)
            row.in_force = version_in_force(row, now=now)

    def get_urls(self) -> list[URLPattern]:
        versions = self.admin_site.admin_view(require_GET(self.versions_view))
        return [
            path("<int:pk>/versions/", versions, name="membership_program_versions"),
            *super().get_urls(),
        ]

    def tabs(self, row: Any, *, request: HttpRequest) -> Iterable[tuple[Any, str]]:
        if request.user.has_perm("membership.view_programversion"):
            yield _("Versions"), reverse("admin:membership_program_versions", args=[row.pk])

    def facts(
        self, row: Any, *, request: HttpRequest, run: Run | None
    ) -> Iterable[tuple[Any, Any]]:
        sizes = _sizes(row, user=request.user, run=run)
        grace = in_grace(request.user, program=row)
        version = _version(row)
        yield (
            _("Number of members"),
            shown.count(sum(each.size for each in sizes)) if sizes else EMPTY,
        )
        yield (
            _("In grace"),
            count_link(
                bounded_words(grace.count, grace.is_more),
                memberships_url(program=row.key, in_grace=True) if grace.count else "",
            ),
        )
        yield _("Version in force"), version.number if version else EMPTY
        yield _("Effective from"), version.effective_from.isoformat() if version else EMPTY
        yield _("Time zone"), row.timezone
        yield _("As of"), shown.instant(run.as_of if run else None)

    def context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        user, run, now = request.user, newest_published_run(), clock.now()
        version = _version(row)
        given = {
            **self.definition_context(row, request=request),
            "version": version,
            "export_url": export_url("memberships", user=user, parameters={"program": row.key}),
            "members_url": memberships_url(program=row.key)
            if user.has_perm("membership.view_membership")
            else "",
        }
        if version is None:
            return given
        tiers = program_panels.Tiers(row, version)
        zone = ZoneInfo(settings.TIME_ZONE)
        given |= {
            "lifecycle": lifecycle_facts(version.document),
            "sentences": sentences(version, tiers=tiers.rows, known=tiers.known),
            "tiers": program_panels.tiers_panel(
                tiers,
                user=user,
                sizes={each.tier: each for each in _sizes(row, user=user, run=run)},
                as_of=run.as_of if run else None,
                now=now,
            ),
            "charts": [program_panels.members_chart(tiers, user=user)],
        }
        if run is not None and user.has_perm("membership.view_transition"):
            given["moves"] = program_panels.moves_panels(tiers, user=user, run=run)
        if user.has_perm("membership.view_membership"):
            given["expiring"] = program_panels.expiring_panel(tiers, user=user, now=now, zone=zone)
        return given

    def versions_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Every version with its tiers and rules, the newest first."""
        row = self.seen(request, pk)
        if not request.user.has_perm("membership.view_programversion"):
            raise PermissionDenied
        versions = program_panels.versions_panel(row, now=clock.now())
        return self.page(request, row, "admin/programs/versions.html", {"versions": versions})

    @admin.display(description=_("members"))
    def members(self, row: Any) -> str:
        return shown.count(row.shown_members)

    @admin.display(description=_("version in force"))
    def version_shown(self, row: Any) -> Any:
        return row.in_force.number if row.in_force else EMPTY

    @admin.display(description=_("effective from"))
    def effective(self, row: Any) -> str:
        return row.in_force.effective_from.isoformat() if row.in_force else EMPTY


def _version(row: Program) -> ProgramVersion | None:
    """The version in force now, read once a page."""
    return shown.once(row, "_in_force", lambda: version_in_force(row, now=clock.now()))


def _sizes(row: Program, *, user: Any, run: Run | None) -> tuple[TierSize, ...]:
    """Members of each tier as this person may count them, read once a page."""
    if run is None:
        return ()
    return shown.once(row, "_sizes", lambda: tier_sizes(user, run=run, program=row.key))
