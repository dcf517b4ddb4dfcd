"""Columns of amounts: their decimals are those of the row's currency."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.domain import facts_values as read
from segmentation.domain.facts import Column, FactKind
from segmentation.domain.facts_values import CellRefused
from segmentation.domain.values import currency_decimals

from .chunks import Chunk, RowRefusals


class MoneyRules:
    """Amounts by the decimals of their row's currency.

    Lines and refunds are in their order's currency, and so is an order without a currency cell
    that is stored already: those are checked again in the database, `loose` rows in any case.
    """

    def __init__(
        self, chunk: Chunk, *, kind: FactKind, base_currency: str, refusals: RowRefusals
    ) -> None:
        self._chunk = chunk
        self._refusals = refusals
        self._base = base_currency
        rows = len(chunk.sequence)
        self._loose = np.zeros(rows, bool)
        self._in_orders = kind.name == "orders"
        self._given = chunk.is_given("currency")
        texts = chunk.columns.get("currency", pa.nulls(rows, pa.string()))
        self._decimals_of = _known_decimals(texts, base=self._base)
        self._decimals = np.full(rows, self._decimals_of[self._base])
        for code, decimals in self._decimals_of.items():
            same = pc.fill_null(pc.equal(texts, code), False).to_numpy(zero_copy_only=False)
            self._decimals[same] = decimals

    def is_known(self, currencies: pa.StringArray) -> pa.BooleanArray:
        return pc.is_in(currencies, value_set=pa.array(list(self._decimals_of)))

    def read(self, column: Column, texts: pa.StringArray, *, decimals: int | None) -> pa.Array:
        if decimals is None and not self._in_orders:
            decimals = read.STORED_DECIMALS
        least = int(self._decimals.min(initial=read.STORED_DECIMALS))
        pattern_decimals = least if decimals is None else decimals
        fraction = rf"(?:\.[0-9]{{1,{pattern_decimals}}}0*)?" if pattern_decimals else r"(?:\.0+)?"
        sure = pc.match_substring_regex(texts, f"^[0-9]{{1,14}}{fraction}$")
        if column.above_zero:
            sure = pc.and_(sure, pc.match_substring_regex(texts, "[1-9]"))
        doubtful = pc.and_(pc.invert(pc.fill_null(sure, True)), texts.is_valid())
        if not pc.any(doubtful).as_py():
            return texts
        values = texts.to_pylist()
        for index in np.flatnonzero(doubtful.to_numpy(zero_copy_only=False)).tolist():
            values[index] = self._read_one(column, values[index], index, decimals)
        return pa.array(values, pa.string())

    def _read_one(self, column: Column, text: str, index: int, decimals: int | None) -> str | None:
        allowed = decimals
        if allowed is None:
            # The stored currency may have more decimals than the base, so the database decides.
            known = bool(self._given[index])
            allowed = int(self._decimals[index]) if known else read.STORED_DECIMALS
            self._loose[index] |= not known
        try:
            amount = read.read_amount(text, decimals=allowed, above_zero=column.above_zero)
        except CellRefused as refused:
            self._refusals.add(index, refused.code, f"{column.name}: {refused.message}")
            return None
        return format(abs(amount), "f")

    def finish(self, arrays: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Currency, rate and `loose` of orders: a given currency is written out, base included.

        Null currency: not sent. Null rate: none sent, or none needed.
        """
        rows = len(self._loose)
        nothing = pa.nulls(rows, pa.string())
        base = pa.scalar(self._base)
        sent = arrays.get("currency", nothing)
        currency = pc.if_else(pa.array(self._given), pc.fill_null(sent, base), nothing)
        rate = arrays.get("rate", nothing)
        is_base = pc.fill_null(pc.equal(currency, base), False)
        not_one = pc.invert(pc.fill_null(pc.match_substring_regex(rate, r"^0*1(?:\.0+)?$"), True))
        self._refusals.add_all(
            pc.and_(is_base, not_one).to_numpy(zero_copy_only=False),
            "bad_rate",
            "rate: A rate other than 1 needs a currency other than the base.",
        )
        foreign = pc.invert(pc.fill_null(pc.equal(currency, base), True))
        unrated = pc.and_(foreign, rate.is_null()).to_numpy(zero_copy_only=False)
        self._refusals.add_all(
            unrated & self._chunk.is_given("rate"),
            "rate_missing",
            "rate: Give the rate in base units for one unit of the row's currency.",
        )
        return {
            "currency": currency,
            "rate": pc.if_else(is_base, nothing, rate),
            "loose": pa.array(self._loose),
        }


def _known_decimals(currencies: pa.StringArray, *, base: str) -> dict[str, int]:
    known = {base: currency_decimals(base)}
    for code in pc.unique(currencies).to_pylist():
        if code is not None and code not in known:
            try:
                known[code] = currency_decimals(code)
            except ValueError:
                continue
    return known
