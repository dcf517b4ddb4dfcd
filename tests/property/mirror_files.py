"""Histories as the mirror's Parquet files, so that the engine can be run without PostgreSQL.

Written from the contract and `schema.py` alone: local days come from `zoneinfo`, nothing of the
engine is used to make them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from segmentation.domain.evaluate_values import property_text
from segmentation.domain.history import CustomerHistory, Event, Order, OrderLine
from segmentation.domain.windows import local_day
from segmentation.engine.mirror_files import MirrorFile
from segmentation.engine.schema import MIRROR_KINDS
from segmentation.models import MirrorManifest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER_TIMES = ("placed_at", "paid_at", "completed_at")
_ORDER_MONEY = (
    "amount", "discount", "goods_amount", "shipping_amount", "stored_value_amount",
    "points_amount",
)  # fmt: skip
_ORDER_TEXTS = (
    "currency", "channel", "status", "store_id", "staff_id", "payer_ref", "recipient_ref",
)  # fmt: skip

Row = dict[str, Any]


def write_mirror(
    folder: Path, people: Sequence[CustomerHistory], *, zone: ZoneInfo
) -> MirrorManifest:
    """Everything about `people` at generation 1; a customer's ordinal is its position."""
    rows = _Rows(people, zone).found
    files = []
    for kind, found in rows.items():
        path = folder / f"{kind}.parquet"
        schema = MIRROR_KINDS[kind].schema
        numbered = [{"id": number, "generation": 1, **row} for number, row in enumerate(found)]
        pq.write_table(pa.Table.from_pylist(numbered, schema=schema), path, compression="none")
        files.append(
            MirrorFile(
                kind=kind, role="rows", month="all", path=path.name, generation=1,
                rows=len(found), bytes=path.stat().st_size,
            )
        )  # fmt: skip
    return MirrorManifest(
        generation=1,
        files=[file.as_document() for file in files],
        tzdata_version="",
        created_at=_EPOCH,
    )


def micros(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - _EPOCH) // timedelta(microseconds=1)


def units(amount: Decimal | None) -> int | None:
    """Money and quantities in 1/10000, exactly."""
    if amount is None:
        return None
    scaled = amount.scaleb(4)
    assert scaled == int(scaled)
    return int(scaled)


class _Rows:
    """Rows per kind; the position of an order in its list is its id."""

    def __init__(self, people: Sequence[CustomerHistory], zone: ZoneInfo) -> None:
        self.zone = zone
        self.found: dict[str, list[Row]] = defaultdict(list)
        self.ordinals = {person.external_id: at for at, person in enumerate(people)}
        for ordinal, person in enumerate(people):
            self._person(person, ordinal)

    def _timed(self, source: object, names: Sequence[str], *, days: bool = True) -> Row:
        row: Row = {}
        for name in names:
            instant = getattr(source, name)
            row[name] = micros(instant)
            if days:
                day = None if instant is None else self._day(instant)
                row[name.removesuffix("_at") + "_day"] = day
        return row

    def _day(self, instant: datetime) -> int:
        return (local_day(instant, self.zone) - date(1970, 1, 1)).days

    def _person(self, person: CustomerHistory, ordinal: int) -> None:
        own = person.attributes
        self.found["customers"].append(
            {
                "ordinal": ordinal,
                "external_id": person.external_id,
                **_texts(own, ("gender", "city", "region", "channel", "home_store")),
                "is_staff": bool(own.is_staff),
                "consent_marketing": bool(own.consent_marketing),
                **self._timed(own, ("registered_at", "consent_at")),
                "birth_date": own.birth_date,
            }
        )
        for order in person.orders:
            self._order(order, ordinal)
        for event in person.events:
            self.found["events"].append(
                {
                    "ordinal": ordinal,
                    "name": event.name,
                    **self._timed(event, ("occurred_at",)),
                    "properties": _json(event),
                }
            )
        for referral in person.referrals:
            self.found["referrals"].append(
                {
                    "ordinal": ordinal,
                    "referee": self.ordinals[referral.referee],
                    **self._timed(referral, ("occurred_at",)),
                }
            )
        for tag in person.tags:
            self.found["tags"].append(
                {
                    "ordinal": ordinal,
                    "tag_group": tag.group,
                    "value": tag.value,
                    "expires_at": micros(tag.expires_at),
                }
            )

    def _order(self, order: Order, ordinal: int) -> None:
        if not order.counts:  # the mirror holds only orders that count
            return
        order_id = len(self.found["orders"])
        times = self._timed(order, _ORDER_TIMES)
        self.found["orders"].append(
            {
                "ordinal": ordinal,
                **times,
                **{name: units(getattr(order, name)) for name in _ORDER_MONEY},
                **_texts(order, _ORDER_TEXTS),
                "is_promotion": bool(order.is_promotion),
            }
        )
        for line in order.lines:
            self._line(line, order, ordinal, order_id, times)
        for refund in order.refunds:
            self.found["refunds"].append(
                {
                    "order_id": order_id,
                    "line_no": refund.line_no,
                    "refunded_at": micros(refund.refunded_at),
                    "amount": units(refund.amount),
                }
            )

    def _line(self, line: OrderLine, order: Order, ordinal: int, order_id: int, times: Row) -> None:
        self.found["order_lines"].append(
            {
                "ordinal": ordinal,
                "order_id": order_id,
                "line_no": line.line_no,
                **times,
                **_texts(line, ("sku", "category")),
                **{
                    name: units(getattr(line, name))
                    for name in ("quantity", "amount", "discount", "cost")
                },
                "is_durable": bool(line.is_durable),
                "qualifies": bool(line.qualifies),
                **_texts(order, ("channel", "store_id", "status")),
                "is_promotion": bool(order.is_promotion),
            }
        )


def _texts(source: object, names: Sequence[str]) -> Row:
    """An empty text is missing: nothing that records facts stores one."""
    return {name: getattr(source, name) or None for name in names}


def _json(event: Event) -> str:
    """The properties as the mirror's query gives them: numbers as texts, whole and exact."""
    shown = {
        key: value if value is None or isinstance(value, bool | dict | tuple | str)
        else property_text(value)
        for key, value in event.properties.items()
    }  # fmt: skip
    return json.dumps(shown, ensure_ascii=False)
