"""From the text of a cell to its value: the one meaning of every column type.

Each reader takes the text of a cell that is not empty (an empty cell is missing, always) and
returns the value or raises `CellRefused` with the reason. The importer's fast path reads whole
columns at once; whatever it does not accept comes here, so this module decides. Nothing is
stripped: a leading space is part of an id and makes a number wrong.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from .facts import STATUSES
from .values import currency_decimals
from .windows import local_day, local_midnight

LONGEST_ID = 255
STORED_DECIMALS = 4  # of amounts and quantities
RATE_DECIMALS = 20
_AMOUNT_LIMIT = Decimal(10) ** 14  # numeric(18, 4)
_RATE_LIMIT = Decimal(10) ** 10  # numeric(20, 10)
_WHOLE_LIMIT = 10**18
_DEEPEST_JSON = 100

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_WHOLE = re.compile(r"[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_BAD_TIME = "Write an ISO 8601 time such as 2024-05-31T10:00:00+08:00, or a date alone."


class CellRefused(Exception):
    """A cell that can't be recorded: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def read_text(text: str) -> str:
    """Any text, byte for byte. Codes: nul_character, bad_text."""
    if "\0" in text:
        raise CellRefused("nul_character", "A NUL character can't be stored.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CellRefused("bad_text", "Half a surrogate pair is no text.") from None
    return text


def read_id(text: str) -> str:
    """An id, byte for byte, case-sensitive. Codes: nul_character, bad_text, too_long."""
    read_text(text)
    if len(text) > LONGEST_ID:
        raise CellRefused("too_long", f"Ids have at most {LONGEST_ID} characters.")
    return text


def read_time(text: str, *, zone: ZoneInfo) -> datetime:
    """An instant in UTC, cut to microseconds.

    Without offset it is the zone's: a wall time that does not exist is refused, one that happens
    twice is the earlier. A date alone is the first instant of that local day. Codes: bad_time,
    nonexistent_time, out_of_range.
    """
    try:
        if _DATE.fullmatch(text):
            return _day_start(date.fromisoformat(text), zone)
        match = _TIME.fullmatch(text)
        if match is None:
            raise ValueError
        day, clock, fraction, offset = match.groups()
        if fraction is not None and len(clock) < len("00:00:00"):
            raise ValueError
        # Digits behind the microsecond are cut, not rounded: the day never changes.
        parts = f"{day}T{clock}" + (f".{fraction[:6]:0<6}" if fraction else "")
        if offset is not None:
            return datetime.fromisoformat(parts + offset.upper()).astimezone(UTC)
        return _wall_time(datetime.fromisoformat(parts), zone)
    except ValueError:
        raise CellRefused("bad_time", _BAD_TIME) from None
    except OverflowError:
        raise CellRefused("out_of_range", "The time lies outside the years 1 to 9999.") from None


def _wall_time(wall: datetime, zone: ZoneInfo) -> datetime:
    instant = wall.replace(tzinfo=zone).astimezone(UTC)  # fold 0: the earlier of two
    if instant.astimezone(zone).replace(tzinfo=None) != wall:
        raise CellRefused("nonexistent_time", f"The clocks of {zone.key} skip this time.")
    return instant


def _day_start(day: date, zone: ZoneInfo) -> datetime:
    instant = local_midnight(day, zone)
    if local_day(instant, zone) != day:
        raise CellRefused("nonexistent_time", f"The calendar of {zone.key} skips this day.")
    return instant


def read_date(text: str) -> date:
    """A calendar date. Code: bad_date."""
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise CellRefused("bad_date", "Write a date as 2024-05-31.")


def read_amount(text: str, *, decimals: int, above_zero: bool = False) -> Decimal:
    """An amount or quantity, exact; zeros behind the last decimal don't count as decimals.

    Codes: bad_number, negative, not_positive, too_precise, out_of_range.
    """
    number = _read_number(text)
    if number < 0:
        raise CellRefused("negative", "Amounts are not negative.")
    if above_zero and number == 0:
        raise CellRefused("not_positive", "A refund is more than 0.")
    if number >= _AMOUNT_LIMIT:
        raise CellRefused("out_of_range", "The amount is too large to store.")
    return _within(number, decimals, f"At most {decimals} decimals are allowed here.")


def read_rate(text: str) -> Decimal:
    """Base units per unit of the row's currency. Codes: bad_number, bad_rate, too_precise,
    out_of_range."""
    number = _read_number(text)
    if number <= 0:
        raise CellRefused("bad_rate", "A rate is more than 0.")
    if number >= _RATE_LIMIT:
        raise CellRefused("out_of_range", "The rate is too large to store.")
    return _within(number, RATE_DECIMALS, f"A rate has at most {RATE_DECIMALS} decimals.")


def _read_number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise CellRefused("bad_number", "Write a plain decimal number such as 12.50.")
    return Decimal(text)


def _within(number: Decimal, decimals: int, sentence: str) -> Decimal:
    digits = format(number, "f").partition(".")[2].rstrip("0")
    if len(digits) > decimals:
        raise CellRefused("too_precise", sentence)
    return number


def read_whole(text: str) -> int:
    """A whole number from 0. Codes: bad_whole_number, out_of_range."""
    if not _WHOLE.fullmatch(text):
        raise CellRefused("bad_whole_number", "Write a whole number such as 1.")
    if len(text.lstrip("0")) > 18 or int(text) >= _WHOLE_LIMIT:
        raise CellRefused("out_of_range", "The number is too large to store.")
    return int(text)


def read_boolean(text: str) -> bool:
    """`true` or `false`, nothing else. Code: bad_boolean."""
    if text not in ("true", "false"):
        raise CellRefused("bad_boolean", "Write true or false.")
    return text == "true"


def read_status(text: str) -> str:
    """An order status. Code: unknown_status."""
    if text not in STATUSES:
        raise CellRefused("unknown_status", f"Write one of {', '.join(STATUSES)}.")
    return text


def read_currency(text: str) -> str:
    """An ISO 4217 code with a minor unit. Code: unknown_currency."""
    try:
        currency_decimals(text)
    except ValueError:
        raise CellRefused("unknown_currency", "Write an ISO 4217 code such as CNY.") from None
    return text


def read_properties(text: str) -> str:
    """One JSON object, as text that PostgreSQL stores without losing a digit.

    Codes: bad_json, nul_character.
    """
    try:
        document = json.loads(text, parse_float=_checked_number, parse_constant=_checked_number)
        if not isinstance(document, dict):
            raise ValueError
        text.encode()
        if "\\u" in text or text.count("{") + text.count("[") > _DEEPEST_JSON:
            _check_json(document, depth=1)
    except (ValueError, RecursionError, ArithmeticError):
        raise CellRefused("bad_json", "Write one JSON object.") from None
    return text


def _checked_number(text: str) -> None:
    """Refuse what no numeric column holds: NaN, Infinity, exponents beyond all measure."""
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 300 or len(text) > 1000:
        raise ValueError


def _check_json(value: object, *, depth: int) -> None:
    """Refuse NUL characters, halves of surrogate pairs and bottomless nesting."""
    if depth > _DEEPEST_JSON:
        raise ValueError
    if isinstance(value, str):
        value.encode()
        if "\0" in value:
            raise CellRefused("nul_character", "A NUL character can't be stored.")
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth=depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_json(key, depth=depth)
            _check_json(item, depth=depth + 1)
