"""Lines and refunds of orders whose currency or rate changes: they use their order's rate."""

from __future__ import annotations

from decimal import Decimal

from segmentation.domain.values import currency_decimals
from segmentation.models import FactBatch

from .shapes import literal
from .staging import fetch, run

_MONEY = {
    "order_lines": ("segmentation_orderline", ("amount", "discount", "cost")),
    "refunds": ("segmentation_refund", ("amount",)),
}
KINDS = tuple(_MONEY)
_LIMIT = 10**14  # numeric(18, 4)


def find_changed_rates(*, base_currency: str) -> bool:
    """`import_rates`: the stored orders that the last of their staged rows give another currency
    or rate, with the old and the new one; are there any?"""
    run(
        "CREATE TEMPORARY TABLE import_rates AS"
        " SELECT t.id, t.currency AS old_currency, t.rate AS old_rate, s.rate"
        " FROM import_targets g JOIN import_rows s USING (sequence)"
        " JOIN segmentation_order t ON t.id = g.id LEFT JOIN import_chain l USING (sequence)"
        " WHERE g.rewrites AND l.is_last IS NOT FALSE AND ROW(t.currency, t.rate)"
        f" IS DISTINCT FROM ROW(COALESCE(s.currency, {literal(base_currency)}), s.rate)"
    )
    run("ANALYZE import_rates")
    return bool(fetch("SELECT FROM import_rates LIMIT 1"))


def reconvert(kind: str, *, base_currency: str, batch: FactBatch) -> int:
    """Write new versions of the lines or refunds of the orders in `import_rates`; how many.

    What was sent is read back from the stored amount, which is exact while a unit of the order's
    currency is worth a unit of the base currency or more. `batch` is saved only with rows.
    """
    table, names = _MONEY[kind]
    codes = {code for (code,) in fetch("SELECT DISTINCT old_currency FROM import_rates")}
    decimals = " ".join(f"WHEN {literal(code)} THEN {currency_decimals(code)}" for code in codes)
    sent = f"round(t.{{name}} / COALESCE(p.old_rate, 1), CASE p.old_currency {decimals} END)"
    value = f"round({sent} * COALESCE(p.rate, 1), {currency_decimals(base_currency)})"
    if kind == "refunds":  # a refund stays above 0
        value = f"GREATEST({value}, {Decimal(1).scaleb(-currency_decimals(base_currency)):f})"
    # An amount that the new rate makes too large to store stays as it is.
    kept = f"CASE WHEN {value} < {_LIMIT} THEN {value} ELSE t.{{name}} END AS {{name}}"
    new = ", ".join(kept.format(name=name) for name in names)
    run(
        f"CREATE TEMPORARY TABLE import_reconverted AS SELECT t.id, {new} FROM {table} t"
        " JOIN import_rates p ON p.id = t.order_id"
    )
    old_row = ", ".join(f"t.{name}" for name in names)
    new_row = ", ".join(f"n.{name}" for name in names)
    batch.save()
    written = run(
        f"UPDATE {table} t SET batch_id = {batch.pk},"
        f" {', '.join(f'{name} = n.{name}' for name in names)}"
        " FROM import_reconverted n WHERE n.id = t.id"
        f" AND ROW({old_row}) IS DISTINCT FROM ROW({new_row})"
    )
    run("DROP TABLE import_reconverted")
    if written:
        batch.read = batch.updated = written
        batch.save()
    else:
        batch.delete()
    return written
