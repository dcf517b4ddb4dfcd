"""The broker that needs no server: kombu's filesystem transport, with whole messages.

kombu writes a message in place, so a worker may read half of it. Here a message appears by rename,
is taken by rename, and never leaves the broker's own folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from queue import Empty
from time import time_ns
from typing import Any
from uuid import uuid4

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

ALIAS = "folder"


class Channel(filesystem.Channel):
    """One file per message, `<time>_<id>.<queue>.msg`, oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for folder in (self.data_folder_in, self.control_folder):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _put(self, queue: str, payload: Any, **_kwargs: Any) -> None:  # type: ignore[override]
        folder = Path(self.data_folder_out)
        name = f"{time_ns()}_{uuid4().hex}"
        draft = folder / f"{name}.draft"
        draft.write_text(dumps(payload))
        draft.rename(folder / f"{name}.{queue}.msg")

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = Path(self.data_folder_in)
        wanted = f".{queue}.msg"
        found = (name for name in os.listdir(folder) if name.endswith(wanted))
        for name in sorted(name for name in found if name.partition(".")[2] == wanted[1:]):
            taken = folder / f"{name}.{os.getpid()}.taken"
            with contextlib.suppress(FileNotFoundError):  # another worker was quicker
                (folder / name).rename(taken)
                content = taken.read_text()
                taken.unlink()
                return loads(content)
        raise Empty

    def _queue_bind(
        self, exchange: str, routing_key: str | None, pattern: str | None, queue: str
    ) -> None:
        # Binding rewrites the exchange's table in place; readers must not see it half written.
        with open(Path(self.control_folder) / ".bind.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            bound = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
            table = self.get_table(exchange)
            if bound not in table:
                target: Path = self._exchange_file(exchange)  # type: ignore[attr-defined]
                draft = target.with_suffix(f".{uuid4().hex}.draft")
                draft.write_text(dumps([bound, *table]))
                draft.rename(target)


class Transport(filesystem.Transport):
    Channel = Channel


TRANSPORT_ALIASES[ALIAS] = "config.broker:Transport"


def options(folder: Path) -> dict[str, Any]:
    """Celery's `broker_transport_options` for messages below `folder`."""
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.1,  # half a second by default
    }
