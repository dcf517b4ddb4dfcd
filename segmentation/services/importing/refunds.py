"""Refunds that are more than what is left, found in sets where that is possible.

An order is safe when even the largest amounts its refunds ever have, stored or staged, fit
together: then they fit in every order of the rows. Only the rows of other orders are taken one by
one (`domain.facts_refunds`), a few thousand orders at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from segmentation.domain.facts_refunds import OrderRoom, RefundClaim, over_refunds
from segmentation.domain.values import currency_decimals

from .shapes import converted
from .staging import fetch, reject_where, run

_ORDERS_AT_ONCE = 5_000


def reject_over_refunds(*, base_currency: str) -> None:
    """Reject the staged refunds that don't fit; `import_orders` is there."""
    amount = converted("amount", rate="p.rate", base_currency=base_currency)
    run(
        "CREATE TEMPORARY TABLE import_claims AS"
        " SELECT order_id, line_no, refund_id, max(amount) AS amount FROM ("
        f" SELECT p.id AS order_id, s.line_no, s.refund_id, {amount} AS amount"
        " FROM import_rows s JOIN import_orders p ON p.external_id = s.order_id"
        " UNION ALL"
        " SELECT r.order_id, r.line_no, r.external_id, r.amount FROM segmentation_refund r"
        " JOIN import_orders p ON p.id = r.order_id) claims GROUP BY 1, 2, 3"
    )
    run("ANALYZE import_claims")
    # Converted amounts are rounded one by one, so in another currency sums may be off by units.
    unit = Decimal(1).scaleb(-currency_decimals(base_currency))
    margin = f"CASE WHEN p.rate IS NULL THEN 0 ELSE (c.claims + 1) * {unit} END"
    sums = "sum(amount) AS total, count(*) AS claims FROM import_claims"
    run(
        "CREATE TEMPORARY TABLE import_doubtful AS"
        f" SELECT p.id FROM import_orders p JOIN (SELECT order_id, {sums} GROUP BY 1) c"
        f" ON c.order_id = p.id WHERE c.total + {margin} > p.amount"
        f" UNION SELECT p.id FROM (SELECT order_id, line_no, {sums} WHERE line_no IS NOT NULL"
        " GROUP BY 1, 2) c JOIN import_orders p ON p.id = c.order_id"
        " JOIN segmentation_orderline l ON l.order_id = c.order_id AND l.line_no = c.line_no"
        f" WHERE c.total + {margin} > l.amount"
    )
    run("ANALYZE import_doubtful")
    for orders in _groups():
        refused = _refused_of(orders, base_currency=base_currency)
        if refused:
            reject_where("over_refund", f"SELECT unnest({_array(refused)})")


def _groups() -> Iterator[list[int]]:
    """Doubtful orders in groups that share no refund: one moved between two is in one group."""
    tangled = [
        order
        for (order,) in fetch(
            "WITH doubtful AS (SELECT c.refund_id, c.order_id FROM import_claims c"
            " JOIN import_doubtful d ON d.id = c.order_id)"
            " SELECT DISTINCT order_id FROM doubtful WHERE refund_id IN (SELECT refund_id"
            " FROM doubtful GROUP BY 1 HAVING count(DISTINCT order_id) > 1)"
        )
    ]
    if tangled:
        yield tangled
    last = 0
    while True:
        rows = fetch(
            f"SELECT id FROM import_doubtful WHERE id > {last}"
            f" AND id <> ALL({_array(tangled)}) ORDER BY id LIMIT {_ORDERS_AT_ONCE}"
        )
        if not rows:
            return
        group = [order for (order,) in rows]
        last = group[-1]
        yield group


def _refused_of(orders: list[int], *, base_currency: str) -> list[int]:
    chosen = _array(orders)
    rooms, scale = _rooms(chosen, base_currency=base_currency)
    keys = f"SELECT refund_id FROM import_claims WHERE order_id = ANY({chosen})"
    stored = (
        RefundClaim(refund_id, order, line_no, _sent(amount, scale.get(order)))
        for refund_id, order, line_no, amount in fetch(
            "SELECT external_id, order_id, line_no, amount FROM segmentation_refund"
            f" WHERE order_id = ANY({chosen}) OR external_id IN ({keys})"
        )
    )
    claims = (
        (sequence, RefundClaim(refund_id, order, line_no, amount))
        for sequence, refund_id, order, line_no, amount in fetch(
            "SELECT s.sequence, s.refund_id, p.id, s.line_no, s.amount FROM import_rows s"
            " JOIN import_orders p ON p.external_id = s.order_id"
            f" WHERE s.refund_id IN ({keys}) ORDER BY s.sequence"
        )
    )
    return over_refunds(claims, orders=rooms, stored=stored)


_Scale = tuple[Decimal, int]  # rate, decimals of the order's currency


def _rooms(chosen: str, *, base_currency: str) -> tuple[dict[int, OrderRoom], dict[int, _Scale]]:
    lines: defaultdict[int, dict[int, Decimal]] = defaultdict(dict)
    for order, line_no, amount in fetch(
        "SELECT order_id, line_no, amount FROM segmentation_orderline"
        f" WHERE order_id = ANY({chosen})"
    ):
        lines[order][line_no] = amount
    unit = Decimal(1).scaleb(-currency_decimals(base_currency))
    rooms = {}
    scale = {}
    for order, amount, currency, rate in fetch(
        f"SELECT id, amount, currency, rate FROM import_orders WHERE id = ANY({chosen})"
    ):
        slack = Decimal(0)
        if rate is not None:
            decimals = currency_decimals(currency)
            scale[order] = rate, decimals
            if rate.scaleb(-decimals) < unit:
                slack = unit / rate / 2
        rooms[order] = OrderRoom(
            _sent(amount, scale.get(order)),
            {
                line_no: _sent(line_amount, scale.get(order))
                for line_no, line_amount in lines[order].items()
            },
            slack,
        )
    return rooms, scale


def _sent(amount: Decimal, scale: _Scale | None) -> Decimal:
    """The amount in the order's currency. Exact while a unit of it is worth a base unit or more:
    then only one amount of that currency converts to the stored one."""
    if scale is None:
        return amount
    rate, decimals = scale
    return (amount / rate).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)


def _array(numbers: list[int]) -> str:
    return f"ARRAY[{', '.join(map(str, numbers))}]::bigint[]"
