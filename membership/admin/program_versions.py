"""Pages of program versions and tiers, and a version's terms in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.models import ProgramVersion, Tier
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, ReadOnlyAdmin
from segmentation.admin.documents import as_yaml
from segmentation.admin.rule_words import (
    Names,
    in_both_languages,
    names,
    rule_sentence,
    rule_tree,
    tree_html,
)
from segmentation.admin.wording import rule_html, term_words

from . import wording


def lifecycle_facts(document: Mapping[str, Any]) -> list[tuple[str | Promise, Any]]:
    """How tiers are reached, kept and lost under a version's document, in words."""
    period = (document.get("qualification") or {}).get("period", "rolling")
    upgrade = document.get("upgrade", "immediate")
    downgrade = document.get("downgrade", "one_level")
    grace = document.get("grace")
    return [
        (_("Qualification"), wording.PERIODS.get(period, period)),
        (_("Upgrade"), wording.UPGRADES.get(upgrade, upgrade)),
        (_("A tier is kept for"), term_words(document.get("keep_for"))),
        (_("Grace period"), term_words(grace) if grace else _("none")),
        (_("Downgrade"), wording.DOWNGRADES.get(downgrade, downgrade)),
    ]


def rules_of(version: ProgramVersion) -> dict[str, Any]:
    """The rule of each tier by its key."""
    return {tier["key"]: tier.get("rule") for tier in version.document.get("tiers") or ()}


def sentences(
    version: ProgramVersion, *, tiers: Sequence[Tier], known: Names
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Code and name of each language, and in it each of the tiers with its rule."""
    rules = rules_of(version)

    def told() -> list[tuple[str, str]]:
        return [
            (shown.label(tier), rule_sentence(rules.get(tier.key), known=known)) for tier in tiers
        ]

    return in_both_languages(told)


def tier_table(version: ProgramVersion) -> shown.Table:
    """The tiers of a version, highest first, each with its rule in words."""
    known = names()
    rules = rules_of(version)
    rows = [
        (tier.rank, shown.label(tier), tier.key, rule_html(rules.get(tier.key), known=known))
        for tier in version.tiers.order_by("-rank")
    ]
    return shown.Table(_("Tiers and rules"), (_("rank"), _("tier"), _("key"), _("threshold")), rows)


def rule_trees(
    version: ProgramVersion, *, known: Names, as_of: datetime | None, zone: ZoneInfo
) -> dict[str, SafeString]:
    """The rule of each tier as lines below each other, with the interval of each metric."""
    return {
        key: tree_html(rule_tree(rule, known=known, as_of=as_of, zone=zone))
        for key, rule in rules_of(version).items()
    }


@admin.register(ProgramVersion)
class ProgramVersionAdmin(ReadOnlyAdmin):
    """Every version of every program; a version never changes."""

    list_display = ("shown_program", "number", "effective_from", "actor", "published_at")
    list_display_links = ("shown_program", "number")
    list_select_related = ("program",)
    ordering = ("program__key", "-number")
    change_form_outer_after_template = "admin/panels.html"
    nothing_yet = _("A program gets its first version when it is published.")

    def heading(self, row: Any) -> str:
        return f"{shown.label(row.program)} · {row.number}"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        identity = (("shown_program", "number", "effective_from"), ("actor", "published_at"))
        return (
            (None, {"fields": identity}),
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
        panels = (terms_table(version), tier_table(version)) if version else ()
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    @admin.display(description=_("program"), ordering="program__key")
    def shown_program(self, version: ProgramVersion) -> str:
        return shown.label(version.program)

    @admin.display(description="YAML")
    def shown_document(self, version: ProgramVersion) -> SafeString:
        return shown.code_block(as_yaml(version.document))


def terms_table(version: ProgramVersion) -> shown.Table:
    """How tiers are reached, kept and lost."""
    rows = lifecycle_facts(version.document)
    return shown.Table(_("In words"), (_("term"), _("meaning")), rows)


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

    def heading(self, row: Any) -> str:
        return f"{shown.label(row.version.program)} · {shown.label(row)}"

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
        rules = rules_of(tier.version)
        if tier.key not in rules:
            return EMPTY
        return shown.once(tier, "_rule", lambda: rule_html(rules[tier.key], known=names()))
