"""Tags: the list, and the page of one with its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.models import Run, RunCount, TagGroup
from segmentation.permissions import row_scope
from segmentation.queries import newest_published_run
from segmentation.services.distributions import class_sizes
from segmentation.services.group_trends import value_trends

from . import shown
from .base import EMPTY
from .charts import several_sizes_chart
from .definition_pages import DefinitionPageAdmin, current_run
from .definitions import as_of_note
from .metrics import portrait_link
from .rule_words import in_both_languages, names, rule_sentence, rule_tree, tree_html

_IN_LIST = 3
_IN_CHART = 10


@admin.register(TagGroup)
class TagGroupAdmin(DefinitionPageAdmin):
    kind = "tag"
    list_display = (
        "star", "name", "key", "origin", "values", "is_public", "folder", "owner", "changed",
    )  # fmt: skip
    nothing_yet = gettext_lazy(
        "A tag is a class of customers, such as the city tier, with its values. It is imported, "
        "set by hand or derived by rule. Make one from nothing or from a definitions document."
    )

    def complete(self, rows: list[Any], *, request: HttpRequest) -> None:
        sizes = list_sizes("tag", [row.key for row in rows], user=request.user)
        for row in rows:
            row.sizes = sizes.get(row.key, {})

    def badges(self, row: Any) -> Iterable[SafeString]:
        document = row.document
        if document.get("sensitive"):
            yield shown.badge(_("Sensitive"), colour="warning")
        if document.get("public"):
            yield shown.badge(_("Shown to the customer"), colour="info")
        yield from super().badges(row)

    def facts(
        self, row: Any, *, request: HttpRequest, run: Run | None
    ) -> Iterable[tuple[Any, Any]]:
        yield _("Origin"), self.origin(row)
        exclusive = bool(row.document.get("exclusive"))
        yield _("Values per customer"), _("one") if exclusive else _("several")
        yield _("Values"), shown.count(len(declared(row.document)))
        yield _("As of"), shown.instant(run.as_of if run else None)

    def context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        run = current_run(request)
        sizes = seen_classes("tag", row.key, run=run, user=request.user)
        values = list(dict.fromkeys([*declared(row.document), *sizes]))
        trends = value_trends("tag", row.key, values=values[:_IN_CHART], viewer=request.user)
        trends = {value: points for value, points in trends.items() if points}
        return {
            **self.definition_context(row, request=request),
            "panels": [_values_table(row, values, sizes, run=run, user=request.user)],
            "charts": [
                several_sizes_chart(
                    list(trends.items()), title=_("Customers per value over time"), name="values"
                )
            ],
            "not_computed": not sizes,
            "recompute_url": recompute_url(request),
        }

    @admin.display(description=gettext_lazy("origin"))
    def origin(self, group: TagGroup) -> Any:
        return _("Derived by rule") if group.document.get("rules") else _("Imported")

    @admin.display(description=gettext_lazy("values and customers"))
    def values(self, group: Any) -> str:
        return sizes_words(declared(group.document), group.sizes)

    @admin.display(description=gettext_lazy("shown to the customer"), boolean=True)
    def is_public(self, group: TagGroup) -> bool:
        return bool(group.document.get("public"))


def declared(document: Mapping[str, Any]) -> list[str]:
    """The values of a tag group in order; those of rules without repeats."""
    rules = document.get("rules") or []
    values = [rule["value"] for rule in rules] or list(document.get("values") or [])
    return list(dict.fromkeys(values))


def list_sizes(kind: str, keys: list[str], *, user: Any) -> dict[str, dict[str, int]]:
    """Sizes of the values of several tags or layerings at the newest run: one query. Nothing for
    people with a row scope, whose sizes would have to be counted one by one."""
    run = newest_published_run()
    if run is None or row_scope(user) is not None:
        return {}
    found: dict[str, dict[str, int]] = {}
    counts = RunCount.objects.filter(run=run, kind=kind, key__in=keys)
    for key, value, size in counts.values_list("key", "value", "size"):
        found.setdefault(key, {})[value] = size
    return found


def sizes_words(values: list[str], sizes: Mapping[str, int]) -> str:
    """The first values with their sizes, and how many more there are."""
    parts = [
        f"{value} {shown.count(sizes[value])}" if value in sizes else value
        for value in values[:_IN_LIST]
    ]
    rest = len(values) - _IN_LIST
    if rest > 0:
        parts.append(_("%(count)s more") % {"count": rest})
    return " · ".join(parts) or EMPTY


def seen_classes(kind: str, key: str, *, run: Run | None, user: Any) -> dict[str, int]:
    """Sizes of the values at a run as this person may see them."""
    if run is None:
        return {}
    if row_scope(user) is not None:
        return class_sizes(run, kind=kind, key=key, viewer=user)
    counts = RunCount.objects.filter(run=run, kind=kind, key=key)
    return dict(counts.order_by("pk").values_list("value", "size"))


def recompute_url(request: HttpRequest) -> str:
    """Where a run is asked for; "" without the right."""
    if not request.user.has_perm("segmentation.request_run"):
        return ""
    return reverse("admin:segmentation_run_recompute")


def _values_table(
    row: TagGroup, values: list[str], sizes: Mapping[str, int], *, run: Run | None, user: Any
) -> shown.Table:
    rules = row.document.get("rules") or []
    total = sum(sizes.values()) if row.document.get("exclusive") else 0
    headers = [_("tag value"), _("customers")]
    if total:
        headers.append(_("share of those with a value"))
    numeric = frozenset(range(1, len(headers)))
    if rules:
        headers.append(_("rule, the first that matches") if total else _("rule"))
    cells = []
    words = _rule_words(rules, run=run)
    for value in values:
        subject = f"tag:{row.key}/{value}"
        line: list[Any] = [
            portrait_link(subject, text=value, user=user),
            shown.count(sizes.get(value)),
        ]
        if total:
            line.append(shown.part(sizes.get(value), total))
        if rules:
            line.append(words.get(value, EMPTY))
        cells.append(line)
    return shown.Table(
        _("Tag values"),
        headers,
        cells,
        note=as_of_note(run),
        empty=_("It has no value yet."),
        numeric=numeric,
    )


def _rule_words(rules: list[Mapping[str, Any]], *, run: Run | None) -> dict[str, SafeString]:
    """Of each value its rule: as lines with intervals, then in one sentence per language."""
    if not rules:
        return {}
    known = names()
    zone = ZoneInfo(timezone.get_current_timezone_name())
    as_of = run.as_of if run else None
    found: dict[str, SafeString] = {}
    for rule in rules:
        node = rule.get("rule")
        lines = rule_tree(node, known=known, as_of=as_of, zone=zone)
        sentences = in_both_languages(partial(rule_sentence, node, known=known))
        found[rule["value"]] = found.get(rule["value"], SafeString("")) + _rule_cell(
            tree_html(lines), sentences
        )
    return found


def _rule_cell(tree: SafeString, sentences: list[tuple[str, str, str]]) -> SafeString:
    both = format_html_join(
        "", '<p lang="{}" translate="no">{}</p>', ((code, words) for code, _n, words in sentences)
    )
    return format_html(
        '{}<details class="tw-figures"><summary>{}</summary>{}</details>',
        tree,
        _("In both languages"),
        both,
    )
