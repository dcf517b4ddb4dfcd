"""Customers that a fact names before anybody registered them, and the ordinals of all."""

from __future__ import annotations

from segmentation.models import FactBatch

from .shapes import Assigned
from .staging import fetch, reject_where, run

# Every place that creates customers takes this lock last of all locks, so ordinals stay dense.
CUSTOMERS_LOCK = 7_305_110

# For an INSERT of customers from staged rows, under the lock.
ORDINAL = Assigned(
    "ordinal",
    "(SELECT COALESCE(max(ordinal), -1) FROM segmentation_customer)"
    " + row_number() OVER (ORDER BY s.sequence)",
)


def lock_customers() -> None:
    """From here to the end of the transaction nobody else creates customers."""
    run(f"SELECT pg_advisory_xact_lock({CUSTOMERS_LOCK})")


def reject_strangers(columns: tuple[str, ...]) -> None:
    """Reject staged rows that name a customer nobody knows."""
    for column in columns:
        reject_where(
            "unknown_customer",
            "SELECT s.sequence FROM import_rows s WHERE NOT EXISTS"
            f" (SELECT FROM segmentation_customer c WHERE c.external_id = s.{column})",
        )


def create_stubs(columns: tuple[str, ...], *, batch: FactBatch) -> int:
    """Create the unknown customers that staged rows name, in order of appearance; how many.

    Only when there are any is the lock taken, and `batch` saved with their number.
    """
    named = " UNION ALL ".join(
        f"SELECT {column} AS external_id, sequence FROM import_rows" for column in columns
    )
    strangers = (
        f"SELECT n.external_id, min(n.sequence) AS sequence FROM ({named}) n WHERE NOT EXISTS"
        " (SELECT FROM segmentation_customer c WHERE c.external_id = n.external_id) GROUP BY 1"
    )
    if fetch(f"SELECT count(*) FROM ({strangers}) s") == [(0,)]:
        return 0
    lock_customers()
    batch.save()
    created = run(
        "INSERT INTO segmentation_customer (batch_id, external_id, ordinal, is_stub)"
        f" SELECT {batch.pk}, s.external_id, {ORDINAL.value}, TRUE FROM ({strangers}) s"
    )
    if created:
        batch.read = batch.inserted = created
        batch.save()
    else:
        batch.delete()  # somebody else created them while we waited
    return created
