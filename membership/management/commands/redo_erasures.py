from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.clock import real_now
from membership.services.erasure import erase_again
from segmentation.management.base import ContractCommand


class Command(ContractCommand):
    """Erase again whom the restore of an older backup brought back."""

    help = (
        "After a restore: erase again everybody whose erasure VAR_DIR/erasures knows and the "
        "database does not. 'restore' does it; safe to repeat."
    )

    def answer(self, **_: Any) -> Mapping[str, Any]:
        return {"erased": erase_again(now=real_now())}

    def show(self, document: Mapping[str, Any]) -> None:
        self.stdout.write(f"Erased again: {document['erased']}.")
