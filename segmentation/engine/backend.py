"""DuckDB in this process: opened after any fork, bounded, UTC, nothing downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from django.conf import settings

from segmentation.domain.errors import NotAvailableError, TierwiseError

_SCHEME = "duckdb://"
_LATER = "spark://"


def refuse_other_engines() -> None:
    """Raise unless ENGINE_URL names the engine there is: NotAvailableError for Spark, which a
    later release brings, TierwiseError `invalid` for anything else."""
    url = settings.ENGINE_URL
    if url.startswith(_LATER):
        raise NotAvailableError(f"ENGINE_URL={url}: Spark is part of a later release.")
    if url != _SCHEME:
        raise TierwiseError(f"ENGINE_URL={url}: write {_SCHEME}, or unset it.")


@contextmanager
def open_duckdb() -> Iterator[duckdb.DuckDBPyConnection]:
    """A fresh in-memory database that spills below VAR_DIR and is closed at the end.

    All share one spill folder: there DuckDB removes what killed processes left behind.
    """
    refuse_other_engines()
    spill = Path(settings.VAR_DIR) / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    duck = duckdb.connect(
        config={
            "memory_limit": getattr(settings, "ENGINE_MEMORY", "3GB"),
            "threads": str(getattr(settings, "ENGINE_THREADS", os.cpu_count() or 2)),
            "temp_directory": str(spill),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        }
    )
    try:
        duck.execute("SET TimeZone = 'UTC'")
        yield duck
    finally:
        duck.close()
