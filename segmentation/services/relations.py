"""What a definition needs and who needs it, as far as the reader may know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from segmentation.domain.definitions import Label
from segmentation.domain.dependencies import Ref, catalog_graph, chains_from, dependents_of
from segmentation.domain.reading import Report, Scope, Use, load_value, read_rule
from segmentation.models import DefinitionVersion
from segmentation.permissions import Viewer, visible_lists, visible_segments

from .definitions import MODELS, current_catalog

_NEVER = "9999-12-31"


@dataclass(frozen=True, slots=True)
class Related:
    """A definition beside another one. `pk` is None for what has no row (a program's own app
    keeps it, a name that is gone)."""

    ref: Ref
    label: Label
    is_direct: bool
    pk: int | None


@dataclass(frozen=True, slots=True)
class Relations:
    """What one definition names (`needs`) and what names it (`used_by`), direct ones first, both
    also through others."""

    needs: tuple[Related, ...]
    used_by: tuple[Related, ...]


def relations(ref: Ref, *, viewer: Viewer) -> Relations:
    """The relations of a living definition, list or program. Hidden segments and lists, and what
    is only reached through them, are left out for a viewer without the right."""
    programs = program_uses()
    uses = {program: use.refs for program, use in programs.items()}
    graph = {**catalog_graph(current_catalog()), **uses}
    seen = _visible(programs, viewer=viewer)
    kept = {
        user: tuple(target for target in targets if target in seen)
        for user, targets in graph.items()
        if user in seen
    }
    needed = chains_from(kept, ref)
    direct = set(kept.get(ref, ()))
    users = dependents_of(kept, ref, transitive=True)
    closest = set(dependents_of(kept, ref))
    return Relations(
        needs=_ordered((seen[other], other in direct) for other in needed if other != ref),
        used_by=_ordered((seen[other], other in closest) for other in users),
    )


@dataclass(frozen=True, slots=True)
class ProgramUse:
    """A living program: its name, and what the rules of its versions in force or to come name."""

    label: Label
    refs: tuple[Ref, ...]


def program_uses() -> dict[Ref, ProgramUse]:
    """The living programs."""
    labels: dict[str, Label] = {}
    found: dict[str, dict[Ref, None]] = {}
    replaced_from: dict[str, str] = {}
    retired: set[str] = set()
    for version in DefinitionVersion.objects.filter(kind="program").order_by("-number"):
        if version.key not in labels:  # the newest one
            labels[version.key] = _label(version.document.get("label"), key=version.key)
            if version.is_retired:
                retired.add(version.key)
        content = version.document.get("version") or {}
        starts = str(content.get("effective_from"))
        if version.key in retired or starts >= replaced_from.get(version.key, _NEVER):
            continue  # a later version replaces it from its first day on
        replaced_from[version.key] = starts
        refs = found.setdefault(version.key, {})
        for tier in content.get("tiers") or ():
            refs.update(dict.fromkeys(_rule_refs(tier.get("rule") or {})))
    return {
        Ref("program", key): ProgramUse(labels[key], tuple(refs)) for key, refs in found.items()
    }


def _label(document: Any, *, key: str) -> Label:
    found = document if isinstance(document, Mapping) else {}
    return Label(str(found.get("en") or key), str(found.get("zh-hans") or key))


def _rule_refs(rule: Mapping[str, Any]) -> Iterable[Ref]:
    uses: list[Use] = []
    read_rule(load_value(rule, Report()), scope=Scope(), uses=uses)
    return [use.ref for use in uses]


def _visible(programs: Mapping[Ref, ProgramUse], *, viewer: Viewer) -> dict[Ref, Related]:
    """Everything this viewer may read the name of."""
    found: dict[Ref, Related] = {}
    rows: dict[str, QuerySet[Any]] = {
        kind: model._default_manager.filter(retired_at=None) for kind, model in MODELS.items()
    }
    rows["segment"] = visible_segments(viewer).filter(retired_at=None)
    rows["list"] = visible_lists(viewer).filter(retired_at=None)
    for kind, chosen in rows.items():
        for pk, key, english, chinese in chosen.values_list(
            "pk", "key", "label_en", "label_zh_hans"
        ):
            ref = Ref(kind, key)
            found[ref] = Related(ref, Label(english or key, chinese or key), False, pk)
    for ref, use in programs.items():
        found[ref] = Related(ref, use.label, False, None)
    return found


def _ordered(found: Iterable[tuple[Related, bool]]) -> tuple[Related, ...]:
    order = ("program", "segment", "layering", "tag", "metric", "list")
    named = [Related(each.ref, each.label, is_direct, each.pk) for each, is_direct in found]
    return tuple(
        sorted(named, key=lambda each: (not each.is_direct, order.index(each.ref.kind), each.ref))
    )
