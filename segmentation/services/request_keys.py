"""`Idempotency-Key`: what an outside system asks for twice is done once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from segmentation.domain.errors import Problem, TierwiseError
from segmentation.models import ApiKey, RequestKey

KEEP = timedelta(days=30)
LONGEST = 200


def request_digest(address: str, body: Any) -> str:
    """What makes two requests the same: the address and the content, however it was written."""
    canonical = json.dumps([address, body], sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def once(
    api_key: ApiKey, *, key: str | None, digest: str, now: datetime, act: Callable[[], str]
) -> str:
    """Do `act`, which says what came of it (e.g. `run:12`), at most once for this `key`.

    The same key with the same digest gives what came of it the first time; a second request in
    parallel waits for the first. Without a key `act` is done. One transaction. `now`: the real
    clock. Errors: `idempotency_mismatch` (another digest), `invalid` (no key that can be kept).
    """
    if key is None:
        with transaction.atomic():
            return act()
    if not key.strip() or len(key) > LONGEST or not key.isprintable():
        message = _("Write an Idempotency-Key of 1 to %(most)s characters.") % {"most": LONGEST}
        problem = Problem("/Idempotency-Key", "invalid_key", message)
        raise TierwiseError(message, problems=(problem,))
    with transaction.atomic():
        used, is_new = RequestKey.objects.get_or_create(
            api_key=api_key,
            key=key,
            defaults={"request_digest": digest, "subject": "", "used_at": now},
        )
        if is_new:
            used.subject = act()
            used.save(update_fields=["subject"])
        elif used.request_digest != digest:
            raise TierwiseError(
                _("This Idempotency-Key was used for another request."),
                code="idempotency_mismatch",
            )
    return used.subject


def forget_old_keys(*, now: datetime) -> int:
    """Forget keys that were used more than KEEP ago; returns how many."""
    gone, _models = RequestKey.objects.filter(used_at__lt=now - KEEP).delete()
    return gone
