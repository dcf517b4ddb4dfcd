"""What a shown change rests on, carried by its form, and what of it has changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.core import signing
from django.utils.translation import gettext as _

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.models import DefinitionVersion, Segment
from segmentation.permissions import Viewer, visible_drafts, visible_segments
from segmentation.queries import newest_published_run

from .draft_definitions import DraftDefinitions, reach
from .draft_documents import Bundle, model_of

_SALT = "membership.publishing"


@dataclass(frozen=True, slots=True)
class Basis:
    """What a shown change rests on: the content, the versions around it, and the run.

    `stamps` are the saved drafts, `versions` those of the definitions that the content touches,
    needs or changes, as far as the reader may know of them.
    """

    subject: str
    act: str  # publish | retire
    digest: str  # SHA-256 of the definitions document
    stamps: Mapping[str, str]
    versions: Mapping[str, int]
    run: int | None
    drawn_at: str  # the real clock

    def token(self) -> str:
        """The basis as a form carries it; nobody can change it on the way."""
        return signing.dumps(asdict(self), salt=_SALT, compress=True)

    def fingerprint(self) -> str:
        """SHA-256 of what the basis says, whenever it was drawn."""
        content = json.dumps([self.subject, self.act, *content_of(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def read_token(token: str) -> Basis:
    """Raises TierwiseError `invalid` for what was not made here."""
    try:
        return Basis(**signing.loads(token, salt=_SALT))
    except (signing.BadSignature, TypeError):
        message = _("This form is damaged; open the page again.")
        raise TierwiseError(message, problems=(Problem("", "invalid", message),)) from None


class StaleChange(TierwiseError):
    """What the shown change rests on is not what it was; `changes` say what, one sentence each."""

    code = "stale_change"

    def __init__(self, changes: tuple[str, ...]) -> None:
        super().__init__(
            _("Something changed since this was shown, so nothing was published."),
            problems=tuple(Problem("", "stale_change", change) for change in changes),
        )
        self.changes = changes


def basis_of(
    found: Bundle, *, act: str, draft: DraftDefinitions, viewer: Viewer, now: datetime
) -> Basis:
    run = newest_published_run()
    around = reach(draft, found.refs, as_of=now if run is None else run.as_of)
    related = {*found.refs, *draft.versions, *around.dependents}
    related |= {Ref(kind, key) for kind, keys in around.needed.items() for key in keys}
    content = json.dumps(found.document, sort_keys=True, ensure_ascii=False)
    return Basis(
        subject=str(found.subject),
        act=act,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        stamps={str(ref): stamp for ref, stamp in sorted(found.stamps.items())},
        versions=versions_of(related, viewer=viewer),
        run=None if run is None else run.pk,
        drawn_at=now.isoformat(),
    )


def versions_of(refs: Iterable[Ref], *, viewer: Viewer) -> dict[str, int]:
    """The stored versions of these definitions; 0: none. Those hidden from the viewer are left
    out: a form carries the names, and whoever has the form can read them."""
    wanted: dict[str, set[str]] = {}
    for ref in refs:
        wanted.setdefault(ref.kind, set()).add(ref.key)
    found: dict[str, int] = {}
    for kind, keys in sorted(wanted.items()):
        rows: Any = model_of(kind)._default_manager.all()
        if kind == "segment":
            rows = visible_segments(viewer)
            unseen = Segment.objects.filter(key__in=keys).exclude(pk__in=rows.values("pk"))
            keys = keys.difference(unseen.values_list("key", flat=True))
        stored = dict(rows.filter(key__in=keys).values_list("key", "version"))
        found |= {f"{kind}:{key}": stored.get(key, 0) for key in sorted(keys)}
    return found


def content_of(basis: Basis) -> tuple[Any, ...]:
    return (basis.digest, dict(basis.stamps), dict(basis.versions), basis.run)


def what_changed(shown: Basis, now: Basis | None, *, user: Viewer) -> tuple[str, ...]:
    said: list[str] = []
    for name, stamp in shown.stamps.items():
        if now is not None and now.stamps.get(name) == stamp:
            continue
        kind, _colon, key = name.partition(":")
        draft = visible_drafts(user).filter(kind=kind, key=key).first()
        if draft is None:
            said.append(_("The draft %(name)s was published or discarded.") % {"name": name})
        elif f"{draft.pk}.{draft.revision}" != stamp:
            words = {"name": name, "who": draft.author}
            said.append(_("The draft %(name)s was saved by %(who)s.") % words)
    fresh = versions_of((_ref(name) for name in shown.versions), viewer=user)
    for name, version in shown.versions.items():
        if fresh.get(name) != version:
            said.append(_published_words(name, fresh.get(name, 0)))
    run = newest_published_run()
    if run is not None and run.pk != shown.run:
        said.append(_("A newer run was published."))
    if not said:
        said.append(_("Definitions around it were changed."))
    return tuple(said)


def _published_words(name: str, version: int) -> str:
    ref = _ref(name)
    row = DefinitionVersion.objects.filter(kind=ref.kind, key=ref.key, number=version).first()
    if row is None:
        return _("%(name)s was changed.") % {"name": name}
    words = {"name": name, "version": version, "who": row.actor}
    if row.is_retired:
        return _("%(name)s was retired by %(who)s.") % words
    return _("%(name)s was published as version %(version)s by %(who)s.") % words


def _ref(name: str) -> Ref:
    kind, _colon, key = name.partition(":")
    return Ref(kind, key)
