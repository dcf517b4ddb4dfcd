"""What a preview and a change say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pyroaring import BitMap

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import Problem
from segmentation.models import Run


@dataclass(frozen=True, slots=True)
class Movement:
    """What becomes of one set of customers: a segment, a layer, a tag's value, a tier, or whoever
    has a value of a metric.

    `value` is the layer, tag value or tier, None for segments and metrics. `before` is the size as
    published, None for what is not published yet. All within the row scope of who asked.
    """

    ref: Ref
    value: str | None
    before: int | None
    size: int
    entered: int
    left: int

    @property
    def moves(self) -> bool:
        """Whether anybody enters or leaves."""
        return bool(self.entered or self.left)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A leaf and how many customers have no value there.

    `path` is a JSON pointer into the definition, `leaf` what it reads (`metric:spend`).
    `can_include`: `if_missing: match` would take them in.
    """

    path: str
    leaf: str
    count: int
    can_include: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run at the newest published as-of would say of one definition, as drafted.

    `movements` are the subject's own sets: one of a segment or metric, one for each layer, value
    or tier. `members`, `entered` and `left` are bitmaps of a segment; of others `members` is
    everybody in any set. `sample` are external ids.
    """

    subject: Ref
    run: Run
    is_hidden: bool
    movements: tuple[Movement, ...]
    members: BitMap
    entered: BitMap
    left: BitMap
    sample: tuple[str, ...]
    unknown: tuple[Unknown, ...]
    dependents: tuple[Movement, ...]
    warnings: tuple[Problem, ...]

    @property
    def size(self) -> int:
        return len(self.members)


Act = Literal["created", "changed", "retired"]


@dataclass(frozen=True, slots=True)
class Changed:
    """One definition that a document touches, with what becomes of its sets."""

    ref: Ref
    act: Act
    version: int  # the stored version it starts from; 0: none
    movements: tuple[Movement, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Everything a document would change. `run` None: nothing is published to compare with, and
    there are no movements. `entered` and `left` are customers of the segment that was asked for by
    name, else empty. Publishing must name the same `digest`."""

    changes: tuple[Changed, ...]
    dependents: tuple[Movement, ...]
    unchanged: tuple[Ref, ...]
    warnings: tuple[Problem, ...]
    run: Run | None
    entered: BitMap
    left: BitMap
    digest: str


def preview_document(preview: Preview) -> dict[str, Any]:
    """A preview as JSON, for the result of a job."""
    return {
        "subject": str(preview.subject),
        "run": preview.run.pk,
        "as_of": preview.run.as_of.isoformat(),
        "size": preview.size,
        "entered": len(preview.entered),
        "left": len(preview.left),
        "sample": list(preview.sample),
        "movements": _movements(preview.movements),
        "dependents": _movements(preview.dependents),
        "unknown": [
            {
                "path": unknown.path,
                "leaf": unknown.leaf,
                "count": unknown.count,
                "can_include": unknown.can_include,
            }
            for unknown in preview.unknown
        ],
        "warnings": [
            {"path": one.path, "code": one.code, "message": one.message} for one in preview.warnings
        ],
    }


def _movements(movements: Iterable[Movement]) -> list[dict[str, Any]]:
    return [
        {
            "ref": str(movement.ref),
            "value": movement.value,
            "before": movement.before,
            "size": movement.size,
            "entered": movement.entered,
            "left": movement.left,
        }
        for movement in movements
    ]
