"""Amounts whose currency only the stored orders know, checked on the staged rows."""

from __future__ import annotations

from collections.abc import Iterable

from segmentation.domain.facts import FactKind
from segmentation.domain.values import currency_decimals

from .shapes import converted, literal
from .staging import Sent, fetch, reject_where, run

_LIMIT = 10**14  # numeric(18, 4)


def settle_order_currencies(kind: FactKind, *, base_currency: str, sent: Sent) -> None:
    """Give orders sent without currency or rate the stored one, and check their amounts by it.

    A stored rate goes only with the currency it was stored with.
    """
    base = literal(base_currency)
    if not {"currency", "rate"} <= sent.always:
        currency = sent.condition("currency")
        rate = sent.condition("rate")
        run(
            "UPDATE import_rows s SET currency = o.currency,"
            f" rate = CASE WHEN {rate} THEN s.rate ELSE o.rate END"
            " FROM segmentation_order o WHERE o.external_id = s.order_id"
            f" AND o.currency <> {base} AND ((NOT ({currency}) AND s.currency IS NULL)"
            f" OR (s.currency = o.currency AND NOT ({rate})))"
        )
    if not fetch(
        f"SELECT FROM import_rows WHERE loose OR currency <> {base} OR rate IS NOT NULL LIMIT 1"
    ):
        return  # everything in the base currency
    reject_where(
        "rate_missing",
        f"SELECT sequence FROM import_rows WHERE currency <> {base} AND rate IS NULL",
    )
    reject_where(
        "bad_rate",
        f"SELECT sequence FROM import_rows WHERE COALESCE(currency, {base}) = {base} AND rate <> 1",
    )
    run(
        f"UPDATE import_rows SET rate = NULL WHERE COALESCE(currency, {base}) = {base} AND rate = 1"
    )
    doubtful = f"(s.loose OR s.currency <> {base})"
    currencies = fetch(f"SELECT DISTINCT currency FROM import_rows s WHERE {doubtful}")
    if currencies:
        codes = {code or base_currency for (code,) in currencies}
        _reject_amounts(
            kind,
            f"import_rows s WHERE {doubtful}",
            decimals=_decimals_case(f"COALESCE(s.currency, {base})", codes),
            rate="s.rate",
            base_currency=base_currency,
        )


def find_orders() -> None:
    """`import_orders`: the stored orders that the staged rows name; other rows are rejected."""
    run(
        "CREATE TEMPORARY TABLE import_orders AS"
        " SELECT o.id, o.external_id, o.amount, o.currency, o.rate FROM segmentation_order o"
        " JOIN (SELECT DISTINCT order_id FROM import_rows) k ON k.order_id = o.external_id"
    )
    run("ANALYZE import_orders")
    reject_where(
        "unknown_order",
        "SELECT s.sequence FROM import_rows s WHERE NOT EXISTS"
        " (SELECT FROM import_orders p WHERE p.external_id = s.order_id)",
    )


def check_by_order(kind: FactKind, *, base_currency: str) -> None:
    """Reject amounts that the currency of their order can't have."""
    codes = {code for (code,) in fetch("SELECT DISTINCT currency FROM import_orders")}
    if codes:
        _reject_amounts(
            kind,
            "import_rows s JOIN import_orders p ON p.external_id = s.order_id WHERE TRUE",
            decimals=_decimals_case("p.currency", codes),
            rate="p.rate",
            base_currency=base_currency,
        )


def _reject_amounts(
    kind: FactKind, rows: str, *, decimals: str, rate: str, base_currency: str
) -> None:
    names = [column.name for column in kind.columns if column.type == "money"]
    precise = " OR ".join(f"min_scale(s.{name}) > {decimals}" for name in names)
    reject_where("too_precise", f"SELECT s.sequence FROM {rows} AND ({precise})")
    large = " OR ".join(
        f"{converted(name, rate=rate, base_currency=base_currency)} >= {_LIMIT}" for name in names
    )
    reject_where(
        "out_of_range", f"SELECT s.sequence FROM {rows} AND {rate} IS NOT NULL AND ({large})"
    )
    if kind.name == "refunds":
        # Too small for one unit of the base currency: there is nothing to give back.
        amount = converted("amount", rate=rate, base_currency=base_currency)
        reject_where("not_positive", f"SELECT s.sequence FROM {rows} AND {amount} = 0")


def _decimals_case(currency: str, codes: Iterable[str]) -> str:
    cases = " ".join(f"WHEN {literal(code)} THEN {currency_decimals(code)}" for code in codes)
    return f"CASE {currency} {cases} END"
