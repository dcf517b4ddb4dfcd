"""What jobs can do: each kind a function, registered by the module that knows how.

`segmentation.jobs` and `membership.jobs` list the modules; the apps load them when they start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .jobs import JobWork

Result = Mapping[str, Any]
Work = Callable[["JobWork"], Result]


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job: its stable name, its translatable title, and what does the work.

    The work must be safe to start again from the beginning after its process was killed.
    """

    name: str
    title: Any
    work: Work


_KINDS: dict[str, JobKind] = {}


def job_kind(name: str, *, title: Any) -> Callable[[Work], Work]:
    """Register the decorated function as the work of jobs of this kind."""

    def register(work: Work) -> Work:
        if name in _KINDS:
            raise ValueError(f"two kinds of job are called {name}")
        _KINDS[name] = JobKind(name, title, work)
        return work

    return register


def kind_of(name: str) -> JobKind | None:
    """The registered kind; None for one of another release."""
    return _KINDS.get(name)


def job_kinds() -> Mapping[str, JobKind]:
    """All kinds by name."""
    return dict(_KINDS)
