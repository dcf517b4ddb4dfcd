"""Which erasures were done, outside the database: a restore of an older backup does them again.

`VAR_DIR/erasures` has one line for each, with the receipt and the keyed reference of the id; nobody
reads an id out of it. It is only ever added to, lies in no backup and is touched by no restore.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.utils.crypto import salted_hmac

from segmentation.domain.errors import TierwiseError
from segmentation.engine.mirror_files import fsync_path
from segmentation.models import Customer, PrivacyRequest

from .privacy import erased_reference

FILE = "erasures"


@dataclass(frozen=True, slots=True)
class LoggedErasure:
    """One erasure that was done, or was about to be when the machine stopped."""

    receipt: str
    reference: str
    key: str  # tells the secret with which the reference was made from another one
    at: str


def log_erasure(*, receipt: str, reference: str, now: datetime) -> None:
    """Add a line and wait until it is on the disk. Called before the erasure commits: a line too
    many names somebody who has asked to be erased, a line too few brings a person back."""
    path = _path()
    is_new = not path.exists()
    entry = {"receipt": receipt, "reference": reference, "key": _key(), "at": now.isoformat()}
    # Behind a line that a crash cut off this one must not be lost as well: it begins a new one.
    line = f"\n{json.dumps(entry)}\n"
    with open(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        fsync_path(path.parent)


def logged_erasures() -> Iterator[LoggedErasure]:
    """All of them, the oldest first. A line that was cut off by a crash is passed over: what it
    announced was not committed either."""
    path = _path()
    if not path.is_file():
        return
    for line in path.read_text("utf-8").splitlines():
        try:
            found = json.loads(line)
            yield LoggedErasure(found["receipt"], found["reference"], found["key"], found["at"])
        except (ValueError, KeyError, TypeError):
            continue


def undone_by_restore() -> list[tuple[LoggedErasure, str | None]]:
    """The logged erasures of which this database knows nothing, with the id of the person whom it
    therefore has again; None when it has nobody of that id.

    An id that came back after its erasure is a stranger's: the receipt tells the two apart. Errors:
    `other_key` when a reference was made with another SECRET_KEY, so that nobody would be found.
    """
    done = set(
        PrivacyRequest.objects.filter(
            kind=PrivacyRequest.Kind.ERASE, customer_ref__startswith="erased:"
        ).values_list("receipt", flat=True)
    )
    wanted = [found for found in logged_erasures() if found.receipt not in done]
    if not wanted:
        return []
    if any(found.key != _key() for found in wanted):
        raise TierwiseError(
            "Erasures were logged with another SECRET_KEY than this command has: run it with the"
            " one that the services use.",
            code="other_key",
        )
    references = {found.reference for found in wanted}
    ids = Customer.objects.filter(erased_at=None).values_list("external_id", flat=True)
    back = {
        reference: external_id
        for external_id in ids.iterator(chunk_size=10_000)
        if (reference := erased_reference(external_id)) in references
    }
    return [(found, back.get(found.reference)) for found in wanted]


def _key() -> str:
    return salted_hmac("segmentation.erasures.key", "", algorithm="sha256").hexdigest()[:16]


def _path() -> Path:
    return Path(settings.VAR_DIR) / FILE
