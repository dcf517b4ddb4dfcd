"""Groups of customers that pages ask about: a segment, a list, a layer, a tag value, a tier.

Written as text (`segment:vip`, `list:fair`, `layer:value_layer/high`, `tag:city_tier/first`,
`tier:gold_club/gold`), so that an address, a job and the access log name them alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pyarrow.parquet as pq
from django.conf import settings
from django.utils.translation import gettext as _
from pyroaring import BitMap

from segmentation.domain.definitions import Catalog, Label
from segmentation.domain.errors import NotFoundError
from segmentation.engine.bitmaps import bitmap_of
from segmentation.engine.results import run_folder
from segmentation.engine.run_columns import open_columns
from segmentation.models import CustomerList, CustomerListMember, DefinitionSet, Run, Segment
from segmentation.permissions import Viewer, visible_lists, visible_results, visible_segments

from .run_catalogs import run_catalog

Kind = Literal["segment", "list", "layer", "tag", "tier"]
# The right to see a subject of each kind at all.
VIEW_RIGHTS: Mapping[Kind, str] = {
    "segment": "segmentation.view_segment",
    "list": "segmentation.view_customerlist",
    "layer": "segmentation.view_layering",
    "tag": "segmentation.view_taggroup",
    "tier": "membership.view_program",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """One group: `value` is the layer, tag value or tier; `part` its name where it has one."""

    kind: Kind
    key: str
    value: str | None
    label: Label
    part: Label | None = None
    is_hidden: bool = False
    pk: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}" + ("" if self.value is None else f"/{self.value}")


def read_subject(text: str, *, run: Run, viewer: Viewer) -> Subject:
    """What a text names, as this viewer may know it at this run.

    Raises NotFoundError alike for what does not exist and for what is hidden from the viewer.
    """
    name, _colon, rest = text.partition(":")
    key, _slash, value = rest.partition("/")
    if name not in VIEW_RIGHTS or not viewer.has_perm(VIEW_RIGHTS[cast(Kind, name)]):
        raise _missing()
    kind = cast(Kind, name)
    if kind in ("segment", "list"):
        return _row(kind, rest, viewer=viewer)
    if kind == "tier":
        return _tier(run, key, value)
    return _class(run_catalog(run), kind, key, value)


def is_hidden_subject(text: str) -> bool:
    """Whether a text names a segment or list that is hidden now, whoever asks."""
    kind, _colon, key = text.partition(":")
    model = {"segment": Segment, "list": CustomerList}.get(kind)
    return model is not None and model._default_manager.filter(key=key, is_hidden=True).exists()


@dataclass(frozen=True, slots=True)
class Choices:
    """The groups of one kind, layering, tag or program that a person may ask about."""

    kind: Kind
    label: Label | None  # of the layering, tag or program
    subjects: tuple[Subject, ...]


def subject_choices(run: Run, *, viewer: Viewer) -> tuple[Choices, ...]:
    """All groups this viewer may ask about at a run."""
    kinds = [kind for kind, right in VIEW_RIGHTS.items() if viewer.has_perm(right)]
    catalog = run_catalog(run)
    found: list[Choices] = []
    if "segment" in kinds:
        segments = visible_segments(viewer).filter(retired_at=None).defer("document")
        found.append(Choices("segment", None, tuple(map(_segment, segments.order_by("key")))))
    if "list" in kinds:
        lists = visible_lists(viewer).filter(retired_at=None).order_by("key")
        found.append(Choices("list", None, tuple(map(_list, lists))))
    for layering in catalog.layerings.values() if "layer" in kinds else ():
        layers = (Subject("layer", layering.key, each, layering.label) for each in layering.layers)
        found.append(Choices("layer", layering.label, tuple(layers)))
    for group in catalog.tag_groups.values() if "tag" in kinds else ():
        values = (Subject("tag", group.key, each, group.label) for each in group.values)
        found.append(Choices("tag", group.label, tuple(values)))
    for program in _programs(run) if "tier" in kinds else ():
        newest = program["versions"][-1]["tiers"] if program["versions"] else []
        tiers = (
            Subject("tier", program["key"], tier["key"], _label(program), _label(tier))
            for tier in newest
        )
        found.append(Choices("tier", _label(program), tuple(tiers)))
    return tuple(choices for choices in found if choices.subjects)


def subject_members(subject: Subject, *, run: Run, viewer: Viewer) -> BitMap:
    """Everybody in the group at the run, before the row scope; a list as it is now.

    Raises NotFoundError when the run has no result for it or its files are gone.
    """
    if subject.kind == "list":
        members = CustomerListMember.objects.filter(list__key=subject.key).order_by()
        return BitMap(members.values_list("customer__ordinal", flat=True).iterator())
    if subject.kind == "segment":
        found = visible_results(viewer).filter(run=run, segment__key=subject.key)
        stored = found.values_list("members", flat=True).first()
        if stored is None:
            raise NotFoundError(_("No run has computed this yet."))
        return BitMap.deserialize(bytes(stored))
    try:
        return _tier_members(run, subject) if subject.kind == "tier" else _classed(run, subject)
    except FileNotFoundError as error:
        raise NotFoundError(_("The files of this run are gone; recompute.")) from error


def _missing() -> NotFoundError:
    return NotFoundError(_("There is no such group of customers."))


def _segment(row: Segment) -> Subject:
    label = Label(row.label_en or row.key, row.label_zh_hans or row.key)
    return Subject("segment", row.key, None, label, is_hidden=row.is_hidden, pk=row.pk)


def _list(row: CustomerList) -> Subject:
    label = Label(row.label_en or row.key, row.label_zh_hans or row.key)
    return Subject("list", row.key, None, label, is_hidden=row.is_hidden, pk=row.pk)


def _row(kind: Kind, key: str, *, viewer: Viewer) -> Subject:
    if kind == "segment":
        segment = visible_segments(viewer).filter(key=key).first()
        if segment is not None:
            return _segment(segment)
    else:
        chosen = visible_lists(viewer).filter(key=key).first()
        if chosen is not None:
            return _list(chosen)
    raise _missing()


def _class(catalog: Catalog, kind: Kind, key: str, value: str) -> Subject:
    if kind == "layer":
        layering = catalog.layerings.get(key)
        if layering is None or value not in layering.layers:
            raise _missing()
        return Subject(kind, key, value, layering.label)
    group = catalog.tag_groups.get(key)
    if group is None or not value:
        raise _missing()
    return Subject(kind, key, value, group.label)


def _tier(run: Run, key: str, value: str) -> Subject:
    for program in _programs(run):
        if program["key"] != key:
            continue
        for version in reversed(program["versions"]):
            for tier in version["tiers"]:
                if tier["key"] == value:
                    return Subject("tier", key, value, _label(program), _label(tier))
    raise _missing()


def _programs(run: Run) -> list[dict[str, Any]]:
    """From the run's own definitions: the app of programs lies above this one."""
    if run.definition_set_id is None:
        return []
    stored = DefinitionSet.objects.filter(pk=run.definition_set_id)
    document = stored.values_list("document", flat=True).first() or {}
    return list(document.get("programs") or ())


def _label(document: Mapping[str, Any]) -> Label:
    label, key = document.get("label") or {}, str(document["key"])
    return Label(label.get("en") or key, label.get("zh-hans") or key)


def _tier_members(run: Run, subject: Subject) -> BitMap:
    chosen = [("program", "=", subject.key), ("tier", "=", subject.value)]
    path = run_folder(run.pk) / "memberships.parquet"
    ordinals = pq.read_table(path, columns=["ordinal"], filters=chosen)["ordinal"]
    return bitmap_of(np.sort(np.asarray(ordinals).astype(np.uint32)))


def _classed(run: Run, subject: Subject) -> BitMap:
    columns = open_columns(run, run_catalog(run), currency=settings.BASE_CURRENCY)
    found = [columns.layer(subject.key)] if subject.kind == "layer" else columns.tag(subject.key)
    for column in found:
        if subject.value in column.values:
            code = column.values.index(subject.value)
            return bitmap_of(columns.ordinals[np.asarray(column.codes) == code])
    return BitMap()
