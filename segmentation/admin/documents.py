"""A stored definition as a person reads it: YAML in the contract's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

# jsonb forgets the order of keys; this is the order of the contract's examples.
_ORDER = (
    "group", "key", "rank", "number", "label", "purpose", "visibility", "exclusive", "sensitive",
    "public", "values", "source", "aggregate", "fn", "window", "time", "matured_days", "filter",
    "where", "unit", "value_kind", "formula", "metric", "tag", "attr", "layer", "segment", "tier",
    "bucket", "field", "type", "cmp", "value", "if_missing", "times", "cap", "cuts", "layers",
    "timezone", "version", "effective_from", "qualification", "upgrade", "keep_for", "grace",
    "downgrade", "rule", "rules", "tiers", "en", "zh-hans", "years", "months", "days",
)  # fmt: skip
_PLACE = {name: place for place, name in enumerate(_ORDER)}


def ordered(value: Any) -> Any:
    """The same document with its keys in the contract's order, unknown ones last by name."""
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: (_PLACE.get(name, len(_PLACE)), name))
        return {name: ordered(value[name]) for name in names}
    if isinstance(value, list):
        return [ordered(item) for item in value]
    return value


def as_yaml(document: Any) -> str:
    """The document as YAML a person can copy into a definitions file."""
    return yaml.safe_dump(
        ordered(document), allow_unicode=True, sort_keys=False, default_flow_style=None, width=88
    ).rstrip()
