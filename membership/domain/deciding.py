"""Which metrics decide about the tiers of a program."""

from __future__ import annotations

from segmentation.domain.definitions import Catalog
from segmentation.domain.dependencies import Ref, rule_refs

from .programs import ProgramVersion


def deciding_metrics(version: ProgramVersion, *, catalog: Catalog) -> tuple[str, ...]:
    """The metrics that the tiers' rules compare, themselves or through layers and rule tags.

    Sorted, each once. Of a formula only itself: its terms are not what is compared.
    """
    found: set[str] = set()
    seen: set[Ref] = set()
    rules = [tier.rule for tier in version.tiers]
    while rules:
        for ref in rule_refs(rules.pop()):
            if ref in seen:
                continue
            seen.add(ref)
            if ref.kind == "metric":
                found.add(ref.key)
            elif ref.kind == "layering":
                found.add(catalog.layerings[ref.key].metric)
            elif ref.kind == "tag":
                rules += [each.rule for each in catalog.tag_groups[ref.key].rules]
    return tuple(sorted(found))
