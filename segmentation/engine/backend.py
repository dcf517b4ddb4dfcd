"""DuckDB in this process: opened after any fork, bounded, UTC, nothing downloaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
from django.conf import settings

from segmentation.domain.errors import NotAvailableError, TierwiseError

_SCHEME = "duckdb://"
_LATER = "spark://"
# What each thread has open, for another thread to stop or to measure: the connection and a second
# one to the same database, because one connection does one thing at a time.
_open: dict[int, list[tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection]]] = {}
_guard = threading.Lock()


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
            "memory_limit": settings.ENGINE_MEMORY,
            "threads": str(settings.ENGINE_THREADS),
            "temp_directory": str(spill),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        }
    )
    try:
        duck.execute("SET TimeZone = 'UTC'")
        with _seen_by_others(duck):
            yield duck
    finally:
        duck.close()


@contextmanager
def _seen_by_others(duck: duckdb.DuckDBPyConnection) -> Iterator[None]:
    pair = (duck, duck.cursor())
    mine = threading.get_ident()
    with _guard:
        _open.setdefault(mine, []).append(pair)
    try:
        yield
    finally:
        with _guard:  # nobody interrupts or asks a connection that is being closed
            _open[mine].remove(pair)
            if not _open[mine]:
                del _open[mine]
            pair[1].close()


def interrupt(thread: int) -> None:
    """Stop what DuckDB does for a thread of this process (its ident): there the statement raises
    duckdb.InterruptException. Nothing happens when none is running."""
    with _guard:
        for duck, _ in _open.get(thread, ()):
            duck.interrupt()


def spilled(thread: int) -> int:
    """Bytes on disk now that did not fit into the memory of what this thread has open."""
    found = 0
    with _guard, suppress(duckdb.Error):  # under pressure even the question may find no memory
        for _, beside in _open.get(thread, ()):
            rows = beside.execute(
                "SELECT COALESCE(sum(temporary_storage_bytes), 0) FROM duckdb_memory()"
            ).fetchall()
            found += int(rows[0][0])
    return found
