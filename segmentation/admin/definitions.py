"""Pages of what operators define. Read-only: definitions change by `manage.py apply`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.domain.windows import resolve
from segmentation.models import (
    DefinitionSet,
    DefinitionVersion,
    Layering,
    Metric,
    Run,
    RunCount,
    Segment,
    SegmentResult,
    TagGroup,
)
from segmentation.permissions import (
    visible_definition_sets,
    visible_results,
    visible_segments,
    visible_versions,
)
from segmentation.queries import newest_published_run
from segmentation.services.wording import interval_words, window_words

from . import shown, wording
from .base import EMPTY, KeysetAdmin, ReadOnlyAdmin
from .documents import as_yaml

VERSION_KINDS = {
    "tag": _("Tag"),
    "metric": _("Metric"),
    "layering": _("Layering"),
    "segment": _("Segment"),
    "program": _("Program"),
}


class RetiredFilter(admin.SimpleListFilter):
    """In use by default; retired definitions on demand."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("retired", _("Retired")), ("all", _("In use and retired"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "all":
                return queryset
            case "retired":
                return queryset.exclude(retired_at=None)
        return queryset.filter(retired_at=None)

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("In use")}
        yield from others


class DefinitionAdmin(ReadOnlyAdmin):
    """What every definition shows: its names, its version and its document."""

    list_display: Any = ("name", "key", "version", "updated_at")
    list_display_links = ("name",)
    list_filter = (RetiredFilter,)
    search_fields = ("key", "label_en", "label_zh_hans")
    search_help_text = _("Key or name")
    ordering = ("key",)
    change_form_before_template = "admin/changed_by_apply.html"
    change_form_outer_after_template = "admin/panels.html"
    words: tuple[Any, ...] = ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        identity = (("label_en", "label_zh_hans"), ("key", "version"), ("updated_at", "retired_at"))
        return (
            (None, {"fields": identity}),
            *(((_("In words"), {"fields": self.words}),) if self.words else ()),
            (_("Definition"), {"fields": ("shown_document",)}),
        )

    def heading(self, row: Any) -> str:
        return shown.label(row)

    def panels(self, definition: Any, *, request: HttpRequest) -> tuple[shown.Table, ...]:
        return ()

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        definition = self.get_object(request, object_id or "")
        panels = self.panels(definition, request=request) if definition else ()
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    @admin.display(description=_("name"), ordering="label_en")
    def name(self, definition: Any) -> str:
        return shown.label(definition)

    @admin.display(description="YAML")
    def shown_document(self, definition: Any) -> SafeString:
        return shown.code_block(as_yaml(definition.document))


def _sizes(kind: str, key: str) -> tuple[Run | None, dict[str, int]]:
    """Published sizes of one tag group or layering in the newest run, by value."""
    run = newest_published_run()
    if run is None:
        return None, {}
    counts = RunCount.objects.filter(run=run, kind=kind, key=key)
    return run, dict(counts.values_list("value", "size"))


def as_of_note(run: Run | None) -> Any:
    if run is None:
        return _("No run was published yet.")
    return format_html("{} {}", _("as of"), shown.instant(run.as_of))


@admin.register(TagGroup)
class TagGroupAdmin(DefinitionAdmin):
    list_display = ("name", "key", "origin", "is_exclusive", "is_public", "version", "updated_at")
    words = (("origin", "is_exclusive"), ("is_public", "is_sensitive"))

    @admin.display(description=_("origin"))
    def origin(self, group: TagGroup) -> Any:
        return _("Derived by rule") if group.document.get("rules") else _("Imported")

    @admin.display(description=_("one value only"), boolean=True)
    def is_exclusive(self, group: TagGroup) -> bool:
        return bool(group.document.get("exclusive"))

    @admin.display(description=_("shown to the customer"), boolean=True)
    def is_public(self, group: TagGroup) -> bool:
        return bool(group.document.get("public"))

    @admin.display(description=_("sensitive"), boolean=True)
    def is_sensitive(self, group: TagGroup) -> bool:
        return bool(group.document.get("sensitive"))

    def panels(self, definition: Any, *, request: HttpRequest) -> tuple[shown.Table, ...]:
        run, sizes = _sizes(RunCount.Kind.TAG, definition.key)
        rules = definition.document.get("rules") or []
        if rules:
            known = wording.names()
            rows: list[tuple[Any, ...]] = [
                (
                    rule["value"],
                    wording.rule_html(rule["rule"], known=known),
                    shown.count(sizes.get(rule["value"])),
                )
                for rule in rules
            ]
            headers: tuple[Any, ...] = (_("tag value"), _("rule"), _("number of customers"))
        else:
            values = definition.document.get("values") or []
            rows = [(value, shown.count(sizes.get(value))) for value in values]
            headers = (_("tag value"), _("number of customers"))
        right = frozenset({len(headers) - 1})
        return (shown.Table(_("Tag values"), headers, rows, note=as_of_note(run), numeric=right),)


@admin.register(Metric)
class MetricAdmin(DefinitionAdmin):
    list_display = ("name", "key", "computes", "window", "unit", "version", "updated_at")
    words = (("computes", "unit"), ("window", "interval"))

    @admin.display(description=_("computes"))
    def computes(self, metric: Metric) -> str:
        return wording.metric_words(metric.document)

    @admin.display(description=_("window"))
    def window(self, metric: Metric) -> str:
        window = metric.document.get("window")
        return window_words(wording.read_window(window)) if window else EMPTY

    @admin.display(description=_("interval at the newest run"))
    def interval(self, metric: Metric) -> str:
        return shown.once(metric, "_interval", lambda: self._interval(metric))

    def _interval(self, metric: Metric) -> str:
        window, run = metric.document.get("window"), newest_published_run()
        if not window or run is None:
            return EMPTY
        zone = ZoneInfo(timezone.get_current_timezone_name())
        interval = resolve(wording.read_window(window), as_of=run.as_of, zone=zone)
        return f"{interval_words(interval, zone=zone)} ({zone.key})"

    @admin.display(description=_("unit"))
    def unit(self, metric: Metric) -> Any:
        return wording.UNITS.get(metric.document.get("unit", ""), EMPTY)


@admin.register(Layering)
class LayeringAdmin(DefinitionAdmin):
    list_display = ("name", "key", "metric", "layers", "version", "updated_at")
    words = (("metric", "layers"),)

    @admin.display(description=_("metric"))
    def metric(self, layering: Layering) -> str:
        return str(layering.document.get("metric", EMPTY))

    @admin.display(description=_("layers, lowest first"))
    def layers(self, layering: Layering) -> str:
        return " < ".join(layering.document.get("layers") or ())

    def panels(self, definition: Any, *, request: HttpRequest) -> tuple[shown.Table, ...]:
        run, sizes = _sizes(RunCount.Kind.LAYER, definition.key)
        cuts = definition.document.get("cuts") or []
        percentiles = cuts.get("percentiles") if isinstance(cuts, Mapping) else None
        marks = [f"P{cut}" for cut in percentiles] if percentiles else [str(cut) for cut in cuts]
        lower = [EMPTY, *marks]
        upper = [*marks, EMPTY]
        rows = [
            (layer, low, high, shown.count(sizes.get(layer)))
            for layer, low, high in zip(
                definition.document.get("layers") or [], lower, upper, strict=False
            )
        ]
        headers = (
            _("layer"),
            _("from (included)"),
            _("to (not included)"),
            _("number of customers"),
        )
        return (
            shown.Table(
                _("Layers"), headers, rows, note=as_of_note(run), numeric=frozenset({1, 2, 3})
            ),
        )


@admin.register(Segment)
class SegmentAdmin(DefinitionAdmin):
    """Internal segments; hidden ones only with the right, else they do not exist."""

    list_display = ("name", "key", "visibility", "purpose", "size", "moved", "version")
    words = (("visibility", "purpose"), ("size", "moved"), ("rule",))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Segment]:
        run = newest_published_run()
        results = SegmentResult.objects.filter(run=run, segment=OuterRef("pk"))
        return visible_segments(request.user).annotate(
            shown_size=Subquery(results.values("size")[:1]),
            shown_entered=Subquery(results.values("entered_count")[:1]),
            shown_left=Subquery(results.values("left_count")[:1]),
        )

    @admin.display(description=_("visibility"))
    def visibility(self, segment: Segment) -> SafeString:
        return visibility_badge(is_hidden=segment.is_hidden)

    @admin.display(description=_("purpose"))
    def purpose(self, segment: Segment) -> Any:
        return wording.PURPOSES.get(segment.document.get("purpose", ""), EMPTY)

    @admin.display(description=_("members"), ordering="shown_size")
    def size(self, segment: Any) -> str:
        return shown.count(segment.shown_size)

    @admin.display(description=_("entered / left"))
    def moved(self, segment: Any) -> str:
        if segment.shown_entered is None:
            return EMPTY
        return f"+{segment.shown_entered:,} / −{segment.shown_left:,}"

    @admin.display(description=_("rule"))
    def rule(self, segment: Segment) -> SafeString:
        rule = segment.document.get("rule")
        return shown.once(
            segment, "_rule_words", lambda: wording.rule_html(rule, known=wording.names())
        )

    def panels(self, definition: Any, *, request: HttpRequest) -> tuple[shown.Table, ...]:
        results = (
            visible_results(request.user)
            .filter(
                segment=definition, run__status__in=(Run.Status.PUBLISHED, Run.Status.HISTORICAL)
            )
            .select_related("run")
            .defer("members", "entered", "left")
            .order_by("-run__as_of", "-run_id")[:15]
        )
        rows = [
            (
                shown.link(
                    "segmentation_run_change",
                    args=[row.run_id],
                    text=shown.instant(row.run.as_of),
                ),
                shown.run_status(row.run),
                shown.count(row.size),
                shown.change(row.entered_count),
                shown.change(-row.left_count),
            )
            for row in results
        ]
        headers = (_("as of"), _("status"), _("members"), _("entered"), _("left"))
        return (
            shown.Table(
                _("Latest results"),
                headers,
                rows,
                empty=_("No run has computed this segment yet."),
                numeric=frozenset({2, 3, 4}),
            ),
        )


def visibility_badge(*, is_hidden: bool) -> SafeString:
    if is_hidden:
        return shown.badge(_("Hidden"), colour="warning")
    return shown.badge(_("Internal"), colour="default")


@admin.register(DefinitionVersion)
class DefinitionVersionAdmin(KeysetAdmin):
    list_display = ("serial", "shown_kind", "key", "number", "is_retired", "actor", "published_at")
    list_filter = ("kind", "published_at")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("shown_kind", "key", "number"),
                    ("actor", "published_at", "is_retired"),
                    ("digest",),
                )
            },
        ),
        (_("Definition"), {"fields": ("shown_document",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DefinitionVersion]:
        return visible_versions(request.user)

    @admin.display(description=_("kind"))
    def shown_kind(self, version: DefinitionVersion) -> Any:
        return VERSION_KINDS.get(version.kind, version.kind)

    @admin.display(description="YAML")
    def shown_document(self, version: DefinitionVersion) -> SafeString:
        return shown.code_block(as_yaml(version.document))


@admin.register(DefinitionSet)
class DefinitionSetAdmin(KeysetAdmin):
    """Everything a run was computed from, hidden rules included: needs the right to see those."""

    list_display = ("serial", "digest", "created_at")
    list_display_links = ("digest",)
    fields = ("digest", "created_at", "shown_document")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DefinitionSet]:
        return visible_definition_sets(request.user)

    @admin.display(description=_("Definition"))
    def shown_document(self, row: DefinitionSet) -> SafeString:
        return shown.code_block(as_yaml(row.document))
