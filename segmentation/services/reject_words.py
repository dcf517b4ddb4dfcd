"""Why a row or a file was not recorded, in the person's language.

The importer's own sentences are English and name the cell; every other language says the reason by
its code and keeps the column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

REASONS: Mapping[str, Any] = {
    # A cell
    "missing": _("A required value is missing."),
    "nul_character": _("A NUL character can't be stored."),
    "bad_text": _("Half a surrogate pair is no text."),
    "too_long": _("The ID is too long."),
    "bad_time": _("Not a time: write 2024-05-31T12:30:00, with or without an offset."),
    "nonexistent_time": _("The clocks of this time zone skip this time."),
    "bad_date": _("Not a date: write 2024-05-31."),
    "bad_number": _("Not a number: write a plain decimal number such as 12.50."),
    "bad_whole_number": _("Not a whole number."),
    "negative": _("Amounts are not negative."),
    "not_positive": _("The amount must be more than 0."),
    "too_precise": _("More decimals than the currency has."),
    "out_of_range": _("Too large, too small or outside the calendar."),
    "bad_boolean": _("Write true or false."),
    "unknown_status": _("Not an order status."),
    "unknown_currency": _("Not an ISO 4217 currency."),
    "bad_rate": _("The exchange rate does not fit the currency."),
    "rate_missing": _("A foreign currency needs an exchange rate."),
    "bad_json": _("Not one JSON object."),
    "bad_type": _("A value of the wrong type."),
    "unknown_value": _("The tag has no such value."),
    "unknown_group": _("There is no such tag; define it first."),
    "derived_group": _("This tag comes from its rules and can't be imported."),
    # A row
    "bad_csv": _("The line is not CSV."),
    "column_count": _("The row has another number of cells than the header."),
    "unknown_customer": _("No such customer, and a strict import creates none."),
    "unknown_order": _("No such order: import orders before their lines and refunds."),
    "over_refund": _("More than what is left on the order or line after its other refunds."),
    "self_referral": _("Nobody refers themselves."),
    "not_recorded": _("Not recorded, because another row of this call was rejected."),
    # A file
    "unknown_column": _("The kind has no such column."),
    "duplicate_column": _("The column is there more than once."),
    "missing_column": _("A required column is missing."),
    "bad_column_type": _("The column's Parquet type can't be read."),
    "unknown_format": _("Files end in .csv, .csv.gz or .parquet."),
    "empty_file": _("The file is empty."),
    "not_utf8": _("The file is not UTF-8: save it as “CSV UTF-8”."),
    "broken_gzip": _("The file is no whole gzip file."),
    "broken_parquet": _("The file is no whole Parquet file."),
}
_COLUMN = re.compile(r"^(?:Column )?([A-Za-z_]+(?::[^ ]+)?)(?:: | is | can't | have no column )")
_NAMED = re.compile(r"have no column '(.+)'")


def reason_in_words(code: str, message: str) -> str:
    """The importer's sentence, in the language of now; its own words where none are known."""
    reason = REASONS.get(code)
    if reason is None or not (get_language() or "en").startswith("zh"):
        return message
    column = _column_of(message)
    return f"{column}：{reason}" if column else str(reason)


def reason_title(code: str) -> str:
    """A reason without its row, in the language of now; an unknown code as it is."""
    return str(REASONS.get(code, code))


def _column_of(message: str) -> str:
    named = _NAMED.search(message)
    if named:
        return named[1]
    found = _COLUMN.match(message)
    return found[1] if found and found[1].islower() else ""
