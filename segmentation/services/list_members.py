"""Writing the members of a customer list: as a whole, in one transaction, with a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pghistory
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils.translation import gettext as _
from pyroaring import BitMap

from segmentation.domain.errors import TierwiseError
from segmentation.models import CustomerList, CustomerListMember

MODES = ("replace", "add", "remove")
_MEMBERS = CustomerListMember._meta.db_table


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the ids that were given.

    `read` is the sum of the next six; of these `added` and `already_there` are on the list now,
    `removed` and `not_there` (mode remove) are not; `unknown` ids are of no customer, `duplicates`
    were given before. `dropped` were on the list and not given (mode replace). `size` is the list's
    size afterwards.
    """

    read: int
    added: int
    already_there: int
    removed: int
    not_there: int
    unknown: int
    duplicates: int
    dropped: int
    size: int

    def as_document(self) -> dict[str, int]:
        return asdict(self)


@contextmanager
def staged_ids(ids: Iterable[tuple[int, str]]) -> Iterator[CursorWrapper]:
    """The ids with their line numbers in the temporary table `list_upload`, for the rest of the
    caller's transaction."""
    with _staging() as cursor:
        with cursor.copy("COPY list_upload (line, external_id) FROM STDIN") as copy:
            for row in ids:
                copy.write_row(row)
        cursor.execute("ANALYZE list_upload")
        yield cursor


@contextmanager
def staged_ordinals(members: BitMap) -> Iterator[CursorWrapper]:
    """The ids of a bitmap's customers like `staged_ids`; lines are ordinals."""
    with _staging() as cursor:
        cursor.execute("CREATE TEMP TABLE list_ordinals (ordinal bigint) ON COMMIT DROP")
        with cursor.copy("COPY list_ordinals FROM STDIN") as copy:
            for ordinal in members:
                copy.write_row((ordinal,))
        cursor.execute(
            "INSERT INTO list_upload SELECT o.ordinal, c.external_id FROM list_ordinals o"
            " JOIN segmentation_customer c ON c.ordinal = o.ordinal AND c.erased_at IS NULL"
            " AND c.merged_into_id IS NULL"
        )
        yield cursor


@contextmanager
def _staging() -> Iterator[CursorWrapper]:
    if not connection.in_atomic_block:
        raise RuntimeError("staging needs a transaction")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS list_upload, list_ordinals, list_given")
        cursor.execute(
            'CREATE TEMP TABLE list_upload (line bigint, external_id text COLLATE "C")'
            " ON COMMIT DROP"
        )
        yield cursor


def write_members(
    row: CustomerList, *, cursor: CursorWrapper, mode: str, actor: str, reason: str
) -> Written:
    """Apply what is staged to a list. Runs inside the caller's transaction; uploads to one list
    wait for each other. Errors: `retired`."""
    if mode not in MODES:
        raise ValueError(f"{mode} is no way to write a list")
    held = CustomerList.objects.select_for_update().get(pk=row.pk)
    if held.retired_at is not None:
        raise TierwiseError(_("The list %(list)s is retired.") % {"list": held.key}, code="retired")
    cursor.execute(
        "CREATE TEMP TABLE list_given ON COMMIT DROP AS"
        # An id that was merged stands for the customer it was merged into.
        " SELECT DISTINCT COALESCE(c.merged_into_id, c.id) AS customer_id"
        " FROM list_upload u JOIN segmentation_customer c ON c.external_id = u.external_id"
        " AND c.erased_at IS NULL"
    )
    cursor.execute(
        "SELECT count(*), count(DISTINCT external_id), (SELECT count(*) FROM list_given)"
        " FROM list_upload"
    )
    read, distinct, known = cursor.fetchone()
    given = {"added": 0, "already_there": 0, "removed": 0, "not_there": 0, "dropped": 0}
    ours = {"list": held.pk}
    if mode == "remove":
        given["removed"] = _count(
            cursor,
            f"DELETE FROM {_MEMBERS} m USING list_given g"
            " WHERE m.list_id = %(list)s AND m.customer_id = g.customer_id",
            ours,
        )
        given["not_there"] = known - given["removed"]
    else:
        if mode == "replace":
            given["dropped"] = _count(
                cursor,
                f"DELETE FROM {_MEMBERS} m WHERE m.list_id = %(list)s AND NOT EXISTS"
                " (SELECT 1 FROM list_given g WHERE g.customer_id = m.customer_id)",
                ours,
            )
        given["added"] = _count(
            cursor,
            f"INSERT INTO {_MEMBERS} (list_id, customer_id)"
            " SELECT %(list)s, customer_id FROM list_given ORDER BY customer_id"
            " ON CONFLICT (list_id, customer_id) DO NOTHING",
            ours,
        )
        given["already_there"] = known - given["added"]
    with pghistory.context(actor=actor, reason=reason):
        held.size = CustomerListMember.objects.filter(list=held).count()
        held.actor = actor
        held.save(update_fields=["size", "actor", "updated_at"])
    return Written(
        read=read, unknown=distinct - known, duplicates=read - distinct, size=held.size, **given
    )


def save_members(
    row: CustomerList, members: BitMap, *, mode: str, actor: str, reason: str
) -> Written:
    """Put the customers of a bitmap on a list (`add`), make them all of it (`replace`) or take them
    off (`remove`). Erased customers are left out. Errors: `retired`."""
    with transaction.atomic(), staged_ordinals(members) as cursor:
        return write_members(row, cursor=cursor, mode=mode, actor=actor, reason=reason)


def _count(cursor: CursorWrapper, sql: str, values: dict[str, int]) -> int:
    cursor.execute(sql, values)
    return int(cursor.rowcount)
