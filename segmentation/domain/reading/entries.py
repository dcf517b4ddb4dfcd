"""What reading a document yields: entries with their places, and what each of them names."""

from __future__ import annotations

from dataclasses import dataclass

from ..dependencies import Ref


@dataclass(frozen=True, slots=True)
class Use:
    """A name that a definition refers to, with the values of it that it needs, and its place."""

    path: str
    ref: Ref
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a document, or one stored definition.

    `definition` is None when it could not be read (its problems are reported) or is retired.
    `source` is the position of the document it came from, None for a stored one.
    """

    ref: Ref
    path: str
    uses: tuple[Use, ...] = ()
    definition: object | None = None
    is_retired: bool = False
    source: int | None = None
