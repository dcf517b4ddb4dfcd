"""The steps of `steady.py`; each gives what it measured as JSON."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from by_hand import duck_dialect, figures_sql, postgres_dialect, run_by_hand
from generate import AS_OF, Size
from shop import run_at
from steady_shop import make_steady_shop

ROUNDS = 5
PREVIEWED = ("spend_180", "orders_365", "units_90", "recency", "basket_365")


def shop(*, size: Size, as_of: datetime) -> dict[str, Any]:
    from django.core.management import call_command
    from django.db import connection

    # A stopped attempt leaves half a shop, and its rows can't be told from those to come.
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    call_command("migrate", verbosity=0)
    seconds = _timed(lambda: make_steady_shop(size))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM segmentation_orderline")
        lines = cursor.fetchone()[0]
    return {"seconds": seconds, "lines": lines}


def mirror(*, size: Size, as_of: datetime) -> dict[str, Any]:
    from config.clock import real_now
    from segmentation.engine import mirror as engine_mirror

    return {"seconds": _timed(lambda: engine_mirror.advance(now=real_now())), "peak": _peak()}


def run(*, size: Size, as_of: datetime) -> dict[str, Any]:
    """A run; `writes` are its stage `postgresql`, `seconds` all others, `peak` the largest stage's
    memory in GB, which the run measures itself."""
    from django.db import connection

    done = run_at(as_of)
    stages: dict[str, float] = done.seconds
    writes = stages["postgresql"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM membership_transition WHERE run_id = %s),"
            " (SELECT count(*) FROM membership_membership)",
            [done.pk],
        )
        moves, members = cursor.fetchone()
    assert not done.parity_mismatches, done.parity_mismatches
    return {
        "seconds": sum(stages.values()) - writes,
        "writes": writes,
        "peak": max(done.memory.values()) / 1024**3,
        "spilled": done.spilled / 1024**3,
        "stages": stages,
        "moved": 100 * moves / members,
        "sizes": _published(done),
    }


def hand(*, size: Size, as_of: datetime) -> dict[str, Any]:
    from segmentation.engine.backend import open_duckdb
    from segmentation.models import Run

    folder, files = _mirror_files()
    to = folder.parent / "hand.parquet"
    with open_duckdb() as duck:
        started = time.perf_counter()
        bitmaps = run_by_hand(duck, duck_dialect(folder, files), as_of=as_of, to=to)
        seconds = time.perf_counter() - started
    sizes = {key: len(members) for key, members in bitmaps.items()}
    done = Run.objects.get(as_of=as_of, status=Run.Status.PUBLISHED)
    assert sizes == _published(done), "run and hand-written script disagree"
    return {"seconds": seconds, "peak": _peak()}


def enrolment(*, size: Size, as_of: datetime) -> dict[str, Any]:
    """The rows of the first run, written again by it and by COPY; nothing of that stays."""
    from django.db import connection, transaction

    from membership.services.publish_run import staged, write_staged
    from segmentation.models import Run

    run = Run.objects.get(status=Run.Status.PUBLISHED)
    changes = _changes()
    files = {name: _copied_out(name) for name in ("membership_transition", "membership_membership")}

    def own() -> None:
        with staged(changes) as cursor:
            write_staged(cursor, run_id=run.pk, at=run.as_of, batch_id=None)

    def copy() -> None:
        with connection.cursor() as cursor:
            for name, (columns, content) in files.items():
                with cursor.copy(f"COPY {name} ({columns}) FROM STDIN") as stream:
                    stream.write(content)

    found: dict[str, list[float]] = {"own": [], "copy": []}
    for _ in range(ROUNDS):
        for way, write in (("own", own), ("copy", copy)):
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("TRUNCATE membership_transition, membership_membership CASCADE")
                started = time.perf_counter()
                write()
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                found[way].append(time.perf_counter() - started)
                transaction.set_rollback(True)
    return {**found, "members": changes.num_rows}


def _changes() -> pa.Table:
    """The changes of the first run, from what it left in the database."""
    from django.db import connection

    from membership.services.tier_changes import CHANGES

    with connection.cursor() as cursor:
        micros = "(extract(epoch FROM {}) * 1000000)::bigint"
        times = [micros.format(f"t.{name}") for name in ("since", "until", "grace_until")]
        cursor.execute(
            "SELECT k.ordinal, p.key, t.to_tier, m.rank::bigint, "
            + ", ".join(times)
            + ", t.kind, nullif(t.from_tier, ''), v.number::bigint, t.reasons::text,"
            ' t."values"::text FROM membership_transition t JOIN membership_program p ON p.id ='
            " t.program_id JOIN segmentation_customer k ON k.id = t.customer_id"
            " JOIN membership_programversion v ON v.id = t.version_id JOIN membership_membership m"
            " ON m.program_id = t.program_id AND m.customer_id = t.customer_id"
        )
        columns = list(zip(*cursor.fetchall(), strict=True))
    arrays = [pa.array(column, field.type)
              for column, field in zip(columns, CHANGES, strict=True)]  # fmt: skip
    return pa.table(arrays, schema=CHANGES)


def _copied_out(name: str) -> tuple[str, bytes]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)"
            " FROM information_schema.columns WHERE table_name = %s AND column_name <> 'id'",
            [name],
        )
        columns = cursor.fetchone()[0]
        content = io.BytesIO()
        with cursor.copy(f"COPY {name} ({columns}) TO STDOUT") as stream:
            for block in stream:
                content.write(block)
    return columns, content.getvalue()


def preview(*, size: Size, as_of: datetime) -> dict[str, Any]:
    """Drafts of a rule over published metrics, as the page asks for them; `first` is that of a
    process that has compiled nothing yet, as after a restart."""
    from config.clock import real_now
    from membership.services.preview import preview as previewed

    viewer = _analyst()

    def ask(number: int, metric: str) -> float:
        rule = {"all": [{"metric": metric, "cmp": "gte", "value": 3 + number},
                        {"segment": "s000", "cmp": "member"}]}  # fmt: skip
        draft = {"key": "draft", "purpose": "service", "visibility": "internal", "rule": rule}
        return _timed(
            lambda: previewed(
                {"segments": [draft]}, subject="segment:draft", viewer=viewer, now=real_now()
            )
        )

    first = ask(9, "spend_90")
    return {"seconds": [ask(*asked) for asked in enumerate(PREVIEWED)], "first": first}


def overlap(*, size: Size, as_of: datetime) -> dict[str, Any]:
    from segmentation.models import Run, Segment
    from segmentation.services.segment_overlap import overlap_matrix

    newest = Run.objects.filter(status=Run.Status.PUBLISHED).latest("as_of")
    keys = list(Segment.objects.order_by("key").values_list("key", flat=True))
    viewer = _analyst()
    seconds = [
        _timed(lambda: overlap_matrix(keys, run=newest, viewer=viewer)) for _ in range(ROUNDS)
    ]
    return {"seconds": seconds, "segments": len(keys)}


def sql(*, size: Size, as_of: datetime) -> dict[str, Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        # A server that nobody waits for any more would disturb what is measured next.
        cursor.execute("SET client_connection_check_interval = '5s'")
        cursor.execute("SET work_mem = '1GB'")
        cursor.execute("SET max_parallel_workers_per_gather = 2")
        cursor.execute("DROP TABLE IF EXISTS bench_figures")
        text = figures_sql(postgres_dialect(), as_of=AS_OF)
        seconds = _timed(lambda: cursor.execute(f"CREATE UNLOGGED TABLE bench_figures AS {text}"))
        names = [f"s{number:03d}" for number in range(100)]
        counts = ", ".join(f"count(*) FILTER (WHERE {name})" for name in names)
        cursor.execute(f"SELECT {counts} FROM bench_figures")
        _agree(dict(zip(names, cursor.fetchone(), strict=True)))
        cursor.execute("DROP TABLE bench_figures")
    return {"seconds": seconds}


def pandas(*, size: Size, as_of: datetime) -> dict[str, Any]:
    from by_pandas import figures
    from pyroaring import BitMap

    folder, files = _mirror_files()
    started = time.perf_counter()
    found = figures(folder, files, as_of=AS_OF)
    found.to_parquet(folder.parent / "pandas.parquet")
    names = [f"s{number:03d}" for number in range(100)]
    bitmaps = {name: BitMap(found.index[found[name]].to_numpy()) for name in names}
    seconds = time.perf_counter() - started
    _agree({name: len(members) for name, members in bitmaps.items()})
    return {"seconds": seconds, "peak": _peak()}


def _agree(sizes: dict[str, int]) -> None:
    from segmentation.models import Run

    newest = Run.objects.filter(status=Run.Status.PUBLISHED).latest("as_of")
    assert sizes == _published(newest), "disagrees with the run"


def _published(run: Any) -> dict[str, int]:
    from segmentation.models import SegmentResult

    found = SegmentResult.objects.filter(run=run).values_list("segment__key", "size")
    return dict(found.order_by("segment__key"))


def _mirror_files() -> tuple[Path, list[dict[str, object]]]:
    from segmentation.engine.mirror import mirror_folder
    from segmentation.models import MirrorManifest

    files = MirrorManifest.objects.latest("generation").files
    return mirror_folder(), [file for file in files if file["role"] == "rows"]


def _analyst() -> Any:
    from django.contrib.auth.models import Group, User

    user, _ = User.objects.get_or_create(username="bench")
    user.groups.set(Group.objects.filter(name="Analyst"))
    assert user.groups.exists()
    return User.objects.get(pk=user.pk)


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _peak() -> float:
    """The most memory this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
