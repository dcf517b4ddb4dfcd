"""How the admin writes values: the same in lists, pages and on Home, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from segmentation.domain.definitions import Label
from segmentation.domain.values import currency_decimals
from segmentation.models import Run

EMPTY = "–"

_Shown = TypeVar("_Shown")

RUN_COLOURS: dict[str, str] = {
    Run.Status.QUEUED: "info",
    Run.Status.RUNNING: "info",
    Run.Status.PUBLISHED: "success",
    Run.Status.HISTORICAL: "primary",
    Run.Status.HELD: "warning",
    Run.Status.FAILED: "danger",
    Run.Status.DRY_RUN: "default",
}


@dataclass(frozen=True)
class Table:
    """One table on a page: translated headers, rows of ready cells, what to say if none."""

    title: str | Promise
    headers: Sequence[str | Promise]
    rows: Sequence[Sequence[Any]]
    empty: str | Promise = ""
    note: str | Promise = ""
    more: tuple[str, str | Promise] | None = None  # address and words of a link to all of them
    numeric: frozenset[int] = field(default_factory=frozenset)  # columns aligned to the right


def once(row: Any, name: str, make: Callable[[], _Shown]) -> _Shown:
    """What `make` gives, worked out once a row: the theme asks for a read-only field repeatedly."""
    if name not in row.__dict__:
        row.__dict__[name] = make()
    found: _Shown = row.__dict__[name]
    return found


def count(number: int | None) -> str:
    """A count with thousands separated."""
    return EMPTY if number is None else f"{number:,}"


def change(number: int) -> str:
    """A difference with its sign: +3, −2, ±0."""
    if number == 0:
        return "±0"
    return f"+{number:,}" if number > 0 else f"−{-number:,}"


def instant(value: datetime | None) -> str:
    """Local date and minute in the project's zone, sortable by eye."""
    return EMPTY if value is None else f"{timezone.localtime(value):%Y-%m-%d %H:%M}"


def currency() -> str:
    """The code of the currency that all stored amounts are in."""
    return str(settings.BASE_CURRENCY)


def money(amount: Decimal | None, *, code: str) -> str:
    """An amount with its currency's decimals and thousands separated, without the code."""
    if amount is None:
        return EMPTY
    step = Decimal(1).scaleb(-currency_decimals(code))
    return f"{amount.quantize(step, ROUND_HALF_UP):,}"


def seconds(stages: Mapping[str, Any]) -> str:
    """The sum of disjoint stages; a recorded total is used as it is."""
    if not stages:
        return EMPTY
    total = stages.get("total", sum(value for key, value in stages.items() if key != "total"))
    return _("%(seconds)s s") % {"seconds": f"{total:.1f}"}


def label_field() -> str:
    """The column that holds names in the language of this request."""
    return "label_zh_hans" if (get_language() or "").startswith("zh") else "label_en"


def label(row: Any) -> str:
    """The name of a definition or tier in the language of this request; its key if it has none."""
    return str(getattr(row, label_field()) or row.key)


def document_label(document: Mapping[str, Any], *, key: str) -> str:
    """The name inside a definition document, in the language of this request."""
    labels = document.get("label") or {}
    language = "zh-hans" if label_field() == "label_zh_hans" else "en"
    return str(labels.get(language) or key) if isinstance(labels, Mapping) else key


def link(name: str, *, args: Sequence[Any] = (), text: object) -> SafeString:
    return format_html(
        '<a class="tw-link" href="{}">{}</a>', reverse(f"admin:{name}", args=args), text
    )


def address_link(address: str, *, text: object) -> SafeString:
    """A link to an address that was made elsewhere."""
    return format_html('<a class="tw-link" href="{}">{}</a>', address, text)


def as_written(text: str) -> SafeString:
    """A key or value as a header of a table, which would start with a capital otherwise."""
    return format_html('<span translate="no">{}</span>', text)


def badge(text: object, *, colour: str) -> SafeString:
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def run_status(run: Run) -> SafeString:
    return badge(run.get_status_display(), colour=RUN_COLOURS.get(run.status, "default"))


def code_block(text: str) -> SafeString:
    return format_html('<pre class="tw-code" lang="en" translate="no">{}</pre>', text)


def tables(*items: Table) -> SafeString:
    return render_to_string("admin/tables.html", {"tables": items})


def day(value: datetime) -> str:
    """The local date in the project's zone."""
    return f"{timezone.localtime(value):%Y-%m-%d}"


def label_in(names: Label) -> str:
    """A name in the language of this request."""
    return names.zh_hans if label_field() == "label_zh_hans" else names.en


def ratio(value: Decimal | None, *, decimals: int = 1) -> str:
    """A share (0 to 1) as per cent."""
    if value is None:
        return EMPTY
    step = Decimal(1).scaleb(-decimals)
    return f"{(value * 100).quantize(step, ROUND_HALF_UP):,} %"


def number(value: Decimal | None, *, unit: str) -> str:
    """A metric's figure: money with its currency, ratios as per cent, counts and days to two
    decimals, because means of them are no whole numbers."""
    if value is None:
        return EMPTY
    if unit == "money":
        return f"{money(value, code=currency())} {currency()}"
    if unit == "ratio":
        return ratio(value)
    return f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP).normalize():,f}"


def part(count_: int | None, whole: int) -> str:
    """A part of a whole as per cent."""
    return EMPTY if count_ is None or not whole else ratio(Decimal(count_) / Decimal(whole))
