"""The definitions document of the segmentation side, as entries with their places."""

from __future__ import annotations

from collections.abc import Callable

from ..definitions import Catalog, FactMetric, FormulaMetric, Layering, Segment, TagGroup
from ..dependencies import Ref
from .entries import Entry, Use
from .groups import read_layering, read_segment, read_tag_group
from .metrics import read_metric
from .place import Place

SECTIONS = ("tags", "metrics", "layerings", "segments", "programs", "overlap_policies")
Reader = Callable[[Place, str, list[Use]], object | None]
_READERS: dict[str, tuple[str, str, Reader]] = {
    "tags": ("tag", "group", read_tag_group),
    "metrics": ("metric", "key", read_metric),
    "layerings": ("layering", "key", read_layering),
    "segments": ("segment", "key", read_segment),
}


def read_document(root: Place) -> dict[str, Place]:
    """The sections of a document; reports unknown ones and those of a later release."""
    if root.is_null:
        root.refuse("wrong_type", "The document is empty.")
        return {}
    sections = root.fields(SECTIONS) or {}
    later = sections.pop("overlap_policies", None)
    if later is not None and later.raw != []:
        later.refuse("not_available", "Overlap policies are part of a later release.")
    return sections


def read_entries(sections: dict[str, Place], *, source: int | None = None) -> tuple[Entry, ...]:
    """Tags, metrics, layerings and segments of one document, in this order.

    An item whose key can't be read is reported and left out; one whose content can't be read is
    an entry without definition. A key written twice is `duplicate_key`, the first one counts.
    """
    entries: list[Entry] = []
    for section, (kind, key_name, reader) in _READERS.items():
        if section in sections:
            entries += read_section(
                sections[section], kind=kind, key_name=key_name, reader=reader, source=source
            )
    return tuple(entries)


def read_section(
    place: Place, *, kind: str, key_name: str, reader: Reader, source: int | None
) -> tuple[Entry, ...]:
    """The items of one section by key; `retired: true` needs nothing but the key."""
    found: dict[str, Entry] = {}
    for item in place.items() or ():
        if not isinstance(item.raw, dict):
            item.refuse("wrong_type", f"Expected a mapping, not {item.shown}.")
            continue
        if key_name not in item.raw:
            item.refuse("missing_key", f'"{key_name}" is missing.')
            key = None
        else:
            key = item.at(key_name).key()
        is_retired = bool(item.at("retired").boolean()) if "retired" in item.raw else False
        uses: list[Use] = []
        definition = None if is_retired else reader(item, key or "?", uses)
        if key is None:
            continue
        if key in found:
            item.refuse("duplicate_key", f'The {kind} "{key}" is defined twice; keep one.')
            continue
        found[key] = Entry(
            ref=Ref(kind, key),
            path=item.path,
            uses=tuple(uses),
            definition=definition,
            is_retired=is_retired,
            source=source,
        )
    return tuple(found.values())


def build_catalog(entries: tuple[Entry, ...]) -> Catalog:
    """The readable, living definitions among the entries, by key in code point order."""
    definitions = [entry.definition for entry in sorted(entries, key=lambda entry: entry.ref)]
    return Catalog(
        tag_groups={item.key: item for item in definitions if isinstance(item, TagGroup)},
        metrics={
            item.key: item for item in definitions if isinstance(item, FactMetric | FormulaMetric)
        },
        layerings={item.key: item for item in definitions if isinstance(item, Layering)},
        segments={item.key: item for item in definitions if isinstance(item, Segment)},
    )
