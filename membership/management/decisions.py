"""What `release_run` and `reject_run` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.core.management.base import CommandParser

from config.clock import real_now
from membership.queries import run_document
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.management.base import ContractCommand
from segmentation.models import Run


class DecisionCommand(ContractCommand):
    """Decides about a held run, as its page does, in the name of somebody who has the right."""

    decide: ClassVar[Callable[..., Run]]

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int, metavar="RUN", help="the number of the held run")
        parser.add_argument("--reason", required=True, help="kept with the run")
        parser.add_argument(
            "--user", required=True, metavar="NAME", help="who decides: needs the right release_run"
        )

    def answer(self, *, run: int, reason: str, user: str, **_: Any) -> Mapping[str, Any]:
        found = User.objects.filter(username=user.replace("\x00", "")).first()
        if found is None:
            message = f"There is no account {user}."
            raise TierwiseError(message, problems=(Problem("/user", "unknown_user", message),))
        decided = type(self).decide(run, user=found, reason=reason, now=real_now())
        document = run_document(decided)
        return {
            "run": document["run"],
            "as_of": document["as_of"],
            "status": document["status"],
            "decision": decided.decision,
            "decided_by": decided.decided_by,
            "reason": decided.decision_reason,
        }

    def show(self, document: Mapping[str, Any]) -> None:
        self.stdout.write(
            f"Run {document['run']} ({document['as_of']}): {document['decision']} by "
            f"{document['decided_by']}, status {document['status']}."
        )
