"""Pages of programs, their versions and tiers. Read-only: programs change by `manage.py apply`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.models import Program, ProgramVersion, Tier
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, ReadOnlyAdmin
from segmentation.admin.definitions import DefinitionAdmin, as_of_note
from segmentation.admin.documents import as_yaml
from segmentation.admin.wording import names, rule_html, term_words
from segmentation.models import RunCount
from segmentation.queries import newest_published_run

from . import wording


@admin.register(Program)
class ProgramAdmin(DefinitionAdmin):
    list_display = ("name", "key", "timezone", "version_count", "updated_at")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        identity = (("label_en", "label_zh_hans"), ("key", "timezone"), ("updated_at",))
        return (
            (None, {"fields": identity}),
            (_("Definition"), {"fields": ("shown_document",)}),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        programs: QuerySet[Any] = super().get_queryset(request)
        programs = programs.annotate(shown_versions=Count("versions"))
        return programs

    @admin.display(description=_("versions"))
    def version_count(self, program: Any) -> str:
        return shown.count(program.shown_versions)

    def panels(self, definition: Any, *, request: HttpRequest) -> tuple[shown.Table, ...]:
        return (_members(definition), *_versions(definition, user=request.user))


def _members(program: Program) -> shown.Table:
    run = newest_published_run()
    sizes = RunCount.objects.filter(run=run, kind=RunCount.Kind.TIER, key=program.key)
    size_of = dict(sizes.values_list("value", "size"))
    newest = program.versions.order_by("-number").first()
    tiers = newest.tiers.all() if newest else ()
    rows = [(tier.rank, shown.label(tier), shown.count(size_of.get(tier.key))) for tier in tiers]
    return shown.Table(
        _("Members per tier"),
        (_("rank"), _("tier"), _("members")),
        rows,
        note=as_of_note(run),
        empty=_("This program has no version yet."),
        numeric=frozenset({0, 2}),
    )


def _versions(program: Program, *, user: Any) -> tuple[shown.Table, ...]:
    if not user.has_perm("membership.view_programversion"):
        return ()
    rows = [
        (
            shown.link("membership_programversion_change", args=[version.pk], text=version.number),
            version.effective_from.isoformat(),
            version.actor,
            shown.instant(version.published_at),
        )
        for version in program.versions.order_by("-number")
    ]
    headers = (_("version"), _("effective from"), _("by"), _("published at"))
    return (shown.Table(_("Versions"), headers, rows, empty=_("This program has no version yet.")),)


@admin.register(ProgramVersion)
class ProgramVersionAdmin(ReadOnlyAdmin):
    list_display = ("shown_program", "number", "effective_from", "actor", "published_at")
    list_display_links = ("shown_program", "number")
    list_select_related = ("program",)
    ordering = ("program__key", "-number")
    change_form_before_template = "admin/changed_by_apply.html"
    change_form_outer_after_template = "admin/panels.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("shown_program", "number", "effective_from"),
                    ("actor", "published_at"),
                )
            },
        ),
        (
            _("In words"),
            {
                "fields": (
                    ("period", "upgrade"),
                    ("keep_for", "grace"),
                    ("downgrade",),
                )
            },
        ),
        (_("Definition"), {"fields": ("shown_document",)}),
    )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        version = self.get_object(request, object_id or "")
        panels = (tier_table(version),) if version else ()
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    @admin.display(description=_("program"), ordering="program__key")
    def shown_program(self, version: ProgramVersion) -> str:
        return shown.label(version.program)

    @admin.display(description=_("qualification"))
    def period(self, version: ProgramVersion) -> Any:
        period = (version.document.get("qualification") or {}).get("period", "rolling")
        return wording.PERIODS.get(period, period)

    @admin.display(description=_("upgrade"))
    def upgrade(self, version: ProgramVersion) -> Any:
        upgrade = version.document.get("upgrade", "immediate")
        return wording.UPGRADES.get(upgrade, upgrade)

    @admin.display(description=_("a tier is kept for"))
    def keep_for(self, version: ProgramVersion) -> str:
        return term_words(version.document.get("keep_for"))

    @admin.display(description=_("grace period"))
    def grace(self, version: ProgramVersion) -> Any:
        grace = version.document.get("grace")
        return term_words(grace) if grace else _("none")

    @admin.display(description=_("downgrade"))
    def downgrade(self, version: ProgramVersion) -> Any:
        downgrade = version.document.get("downgrade", "one_level")
        return wording.DOWNGRADES.get(downgrade, downgrade)

    @admin.display(description="YAML")
    def shown_document(self, version: ProgramVersion) -> SafeString:
        return shown.code_block(as_yaml(version.document))


def tier_table(version: ProgramVersion) -> shown.Table:
    """The tiers of a version, highest first, each with its rule in words."""
    known = names()
    rules = {tier["key"]: tier.get("rule") for tier in version.document.get("tiers") or ()}
    rows = [
        (tier.rank, shown.label(tier), tier.key, rule_html(rules.get(tier.key), known=known))
        for tier in version.tiers.order_by("-rank")
    ]
    return shown.Table(_("Tiers and rules"), (_("rank"), _("tier"), _("key"), _("threshold")), rows)


@admin.register(Tier)
class TierAdmin(ReadOnlyAdmin):
    list_display = ("shown_name", "key", "rank", "shown_program", "shown_version")
    list_display_links = ("shown_name",)
    list_select_related = ("version__program",)
    ordering = ("version__program__key", "-version__number", "-rank")
    fields = (
        ("label_en", "label_zh_hans"),
        ("key", "rank"),
        ("shown_program", "shown_version"),
        "rule",
    )

    @admin.display(description=_("name"))
    def shown_name(self, tier: Tier) -> str:
        return shown.label(tier)

    @admin.display(description=_("program"))
    def shown_program(self, tier: Tier) -> str:
        return shown.label(tier.version.program)

    @admin.display(description=_("version"))
    def shown_version(self, tier: Tier) -> str:
        return str(tier.version.number)

    @admin.display(description=_("threshold"))
    def rule(self, tier: Tier) -> SafeString | str:
        rules = {each["key"]: each.get("rule") for each in tier.version.document.get("tiers") or ()}
        if tier.key not in rules:
            return EMPTY
        return shown.once(tier, "_rule", lambda: rule_html(rules[tier.key], known=names()))
