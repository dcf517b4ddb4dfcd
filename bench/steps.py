"""Where the large benchmarks keep what took long to make, so that a stopped one goes on there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent


def work_folder(name: str) -> Path:
    """A folder below BENCH_DIR (default: var/bench, which `make clean` removes)."""
    folder = Path(os.environ.get("BENCH_DIR") or ROOT / "var" / "bench") / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Steps:
    """Finished steps and what each found, in a file that is never half-written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def keep(self, step: str, found: dict[str, Any]) -> None:
        self.done[step] = found
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(self.done, indent=1))
        draft.replace(self.path)


def database_url(name: str) -> str:
    """The address of a database in the cluster that the connection leads to."""
    from django.db import connection

    given = connection.settings_dict
    host, port = str(given["HOST"]), given["PORT"]
    user = quote(given["USER"], safe="")
    if given["PASSWORD"]:
        user += ":" + quote(given["PASSWORD"], safe="")
    place = "" if host.startswith("/") else f"{host}:{port}" if port else host
    ending = f"?host={quote(host)}" if host.startswith("/") else ""
    return f"postgresql://{user}@{place}/{name}{ending}"
