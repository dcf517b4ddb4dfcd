"""Tag, layering and segment documents to their dataclasses."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, cast

from ..definitions import Label, Layering, Segment, TagGroup, TagRule
from ..dependencies import Ref
from .entries import Use
from .place import Place
from .rules import SEGMENT_SCOPE, TAG_SCOPE, read_rule

PURPOSES = ("retention", "acquisition", "promotion", "service", "research")
VISIBILITIES = ("hidden", "internal")
MAX_VALUES = 1_000


def _label(fields: dict[str, Place], key: str) -> Label | None:
    return fields["label"].label() if "label" in fields else Label(key, key)


def _flag(fields: dict[str, Place], name: str) -> bool:
    """A boolean that is false when left out; also when it is wrong, which is reported."""
    return bool(fields[name].boolean()) if name in fields else False


def read_tag_group(place: Place, key: str, uses: list[Use]) -> TagGroup | None:
    before = len(place.report.problems)
    known = ("group", "label", "exclusive", "sensitive", "public", "values", "rules", "retired")
    fields = place.fields(known)
    if fields is None:
        return None
    label = _label(fields, key)
    exclusive = _flag(fields, "exclusive")
    sensitive, public = _flag(fields, "sensitive"), _flag(fields, "public")
    if "values" not in fields and "rules" not in fields:
        place.refuse("missing_key", 'A tag needs "values", or "rules" that derive them.')
    values = read_values(fields["values"]) if "values" in fields else None
    rules = _read_tag_rules(fields["rules"], uses) if "rules" in fields else ()
    if label is None or rules is None or len(place.report.problems) > before:
        return None
    if rules:
        derived = tuple(dict.fromkeys(tag_rule.value for tag_rule in rules))
        if values is not None and set(values) != set(derived):
            fields["values"].refuse(
                "unknown_tag_value",
                'The values of a rule group are those of its rules; leave "values" out.',
            )
            return None
        values = derived
    return TagGroup(key, label, exclusive, values or (), sensitive, public, rules)


def read_values(place: Place) -> tuple[str, ...] | None:
    """At least one text, each once."""
    items = place.items(at_least=1)
    if items is None:
        return None
    if len(items) > MAX_VALUES:
        place.refuse("out_of_range", f"More than {MAX_VALUES} values.")
        return None
    texts: dict[str, None] = {}
    for item in items:
        text = item.text()
        if text in texts:
            item.refuse("duplicate_key", f'"{text}" is listed twice; keep one.')
        elif text is not None:
            texts[text] = None
    return tuple(texts) if len(texts) == len(items) else None


def _read_tag_rules(place: Place, uses: list[Use]) -> tuple[TagRule, ...] | None:
    items = place.items(at_least=1)
    if items is None:
        return None
    if len(items) > MAX_VALUES:
        place.refuse("out_of_range", f"More than {MAX_VALUES} rules.")
        return None
    read: list[TagRule] = []
    for item in items:
        fields = item.fields(("value", "rule"), required=("value", "rule"))
        if fields is None:
            continue
        value = fields["value"].text() if "value" in fields else None
        rule = None
        if "rule" in fields:
            rule = read_rule(fields["rule"], scope=TAG_SCOPE, uses=uses)
        if value is not None and rule is not None:
            read.append(TagRule(value, rule))
    return tuple(read) if len(read) == len(items) else None


def read_layering(place: Place, key: str, uses: list[Use]) -> Layering | None:
    known = ("key", "label", "metric", "cuts", "layers", "retired")
    fields = place.fields(known, required=("metric", "cuts", "layers"))
    if fields is None:
        return None
    label = _label(fields, key)
    metric = fields["metric"].text() if "metric" in fields else None
    if metric is not None:
        uses.append(Use(fields["metric"].path, Ref("metric", metric)))
    layers = read_values(fields["layers"]) if "layers" in fields else None
    cuts, percentiles = _read_cuts(fields["cuts"]) if "cuts" in fields else ((), ())
    if label is None or metric is None or layers is None or not cuts + percentiles:
        return None
    if len(layers) != len(cuts + percentiles) + 1:
        fields["layers"].refuse(
            "out_of_range",
            f"{len(cuts + percentiles)} cuts make {len(cuts + percentiles) + 1} layers, "
            f"not {len(layers)}.",
        )
        return None
    return Layering(key, label, metric, layers, cuts, percentiles)


def _read_cuts(place: Place) -> tuple[tuple[Decimal, ...], tuple[Decimal, ...]]:
    """Cuts by value or by percentile; both empty after reporting."""
    if isinstance(place.raw, dict):
        fields = place.fields(("percentiles",), required=("percentiles",))
        if fields is None or "percentiles" not in fields:
            return (), ()
        inner = fields["percentiles"]
        numbers = _read_rising(inner)
        if any(not 0 <= number <= 100 for number in numbers):
            inner.refuse("out_of_range", "Percentiles lie between 0 and 100.")
            return (), ()
        return (), numbers
    return _read_rising(place), ()


def _read_rising(place: Place) -> tuple[Decimal, ...]:
    items = place.items(at_least=1)
    if items is None:
        return ()
    if len(items) >= MAX_VALUES:
        place.refuse("out_of_range", f"{MAX_VALUES} cuts or more.")
        return ()
    numbers = tuple(number for item in items if (number := item.number()) is not None)
    if len(numbers) < len(items):
        return ()
    for item, lower, upper in zip(items[1:], numbers, numbers[1:], strict=False):
        if upper <= lower:
            item.refuse("out_of_range", f"Cuts must rise; {upper:f} is not above {lower:f}.")
            return ()
    return numbers


def read_segment(place: Place, key: str, uses: list[Use]) -> Segment | None:
    known = ("key", "label", "purpose", "visibility", "rule", "retired")
    fields = place.fields(known, required=("purpose", "visibility", "rule"))
    if fields is None:
        return None
    label = _label(fields, key)
    purpose = fields["purpose"].choice(PURPOSES) if "purpose" in fields else None
    visibility = fields["visibility"].choice(VISIBILITIES) if "visibility" in fields else None
    rule = None
    if "rule" in fields:
        rule = read_rule(fields["rule"], scope=SEGMENT_SCOPE, uses=uses)
    if label is None or purpose is None or visibility is None or rule is None:
        return None
    return Segment(
        key,
        label,
        cast(Literal["retention", "acquisition", "promotion", "service", "research"], purpose),
        cast(Literal["hidden", "internal"], visibility),
        rule,
    )
