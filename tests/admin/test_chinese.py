"""Every page in Chinese: no English label, whatever role's page it is.

What a page shows in Latin letters must be data (ids, keys, names people typed), code, or a word
that Chinese writes so. Everything else is a text that nobody translated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from zoneinfo import available_timezones

from django.contrib.auth.models import User
from django.test import Client

from config.setup import make_periodic_tasks
from tests.fixtures.cast import Cast
from tests.fixtures.sample import Shop

from .pages import addresses, addresses_of, routes

Enter = Callable[..., Client]
CHINESE = re.compile(r"[一-鿿]")
LATIN = re.compile(r"[A-Za-z]{3,}")
UNREAD = {"script", "style", "code", "pre", "template", "textarea"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
READ_ATTRIBUTES = ("aria-label", "alt", "placeholder", "title")
# Names of things that are called the same in Chinese.
NAMES = {
    "Tierwise", "English", "CSV", "XLSX", "JSON", "YAML", "UTC", "TGI", "PostgreSQL", "API", "SKU",
    "Ctrl", "esc",
}  # fmt: skip
# Values that the sample wrote: log-ins, tier and layer keys, tag values, attributes, English names.
VALUES = {
    "operator", "beat", "analyst", "auditor", "integration", "reviewer", "stranger", "till",
    "gold", "silver", "first", "second", "third", "high", "middle", "low", "yes", "Gold", "Silver",
    "Hangzhou", "app", "female", "shoes", "review", "CNY", "administrator",
}  # fmt: skip
# What the sample and the cast wrote: keys and ids, people, mails, zones, versions, addresses.
WRITTEN = re.compile(
    r"""
      [a-z0-9]+(?:[_.:/@-][\w.:/@•%-]+)+       # keys, ids, mails, paths, permissions
    | [A-Z]{1,6}-?\d[\w-]*                       # C1000, O1-0, SKU-9
    | [\w.+-]*•[\w•.@-]*                         # masked
    | (?:Customer|Zebra|Quagga)\s?\w*            # names of customers
    | [0-9a-f]{8,} | [0-9a-zA-Z]{2,}\*+            # digests, the shown part of a password's
    | \w+/\w+(?:/\w+)?                           # Asia/Shanghai
    """,
    re.VERBOSE,
)
# Sentences and names that people and runs wrote, whatever the language of who reads them.
SENTENCES = {
    "Gold Club", "Value layer", "App users", "Orchid whisperers", "City tier", "Promotion lover",
    "Net spend, 365 days", "Asked by phone", "Orchid allergy", "mirror is at generation 1",
    "segment whisper_orchid computed", "parity: segment whisper_orchid differs", "duckdb 2.0.0",
    "review · page: shoes, stars: 5", "0.1 MiB",
    "Auditor", "Integration",  # a role's stored name, in the history of the role
    "sum of amount paid after refunds over orders",  # the definition sheet tells both languages
}  # fmt: skip

ZONES = available_timezones()


class _Texts(HTMLParser):
    """The texts of a page that a person reads, attributes that are read among them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[tuple[str, bool]] = []

    @property
    def _is_read(self) -> bool:
        return all(is_read for _tag, is_read in self._open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        icon = "material-symbols-outlined" in (given.get("class") or "")
        foreign = given.get("translate") == "no" or given.get("lang") == "en"
        is_read = not (tag in UNREAD or icon or foreign)
        if self._is_read and is_read:
            self.found += [given[name] or "" for name in READ_ATTRIBUTES if given.get(name)]
            if tag == "input" and given.get("type") in ("submit", "button"):
                self.found.append(given.get("value") or "")
        if tag not in VOID:
            self._open.append((tag, is_read))

    def handle_endtag(self, tag: str) -> None:
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place][0] == tag:
                del self._open[place:]
                return

    def handle_data(self, data: str) -> None:
        if self._is_read and data.strip():
            self.found.append(re.sub(r"\s+", " ", data.strip()))


def english(html: str) -> Iterator[str]:
    """Texts that read as English: Latin words, no Chinese, and nothing that is data."""
    page = _Texts()
    page.feed(html)
    for text in page.found:
        if CHINESE.search(text) or text in SENTENCES:
            continue
        if text.replace(" ", "_") in ZONES:
            continue
        rest = WRITTEN.sub(" ", text)
        if set(LATIN.findall(rest)) - NAMES - VALUES:
            yield text


def test_control_an_english_label_is_found() -> None:
    """Visible texts and attributes; not code, icons, data, or what is marked as English."""
    page = """<h1>Members</h1><p>会员 Members</p><code>Members</code><img alt="A tier">
    <span class="material-symbols-outlined">badge</span><p lang="en">Members</p>
    <br><td>C1000</td><td>net_spend_365d</td><td>l••••@example.com</td>
    <input type="submit" value="Save"><script>Members</script>"""
    assert list(english(page)) == ["Members", "A tier", "Save"]


def test_no_page_shows_an_english_label(cast: Cast, shop: Shop, enter: Enter) -> None:
    pages = [address for _name, address in addresses()]
    clients = [enter(each, language="zh-hans") for each in (cast.operations_manager, cast.auditor)]
    assert _walked(clients, pages) > 120


def test_no_page_of_the_administrator_shows_an_english_label(cast: Cast, enter: Enter) -> None:
    """Schedules, accounts and log-ins: pages of packages that few roles open."""
    make_periodic_tasks("Asia/Shanghai")
    administrator = User.objects.create_superuser("administrator")
    packages = ("/admin/django_celery_beat/", "/admin/auth/", "/admin/axes/")
    found = [route for route in routes() if f"/{route.address}".startswith(packages)]
    pages = [address for route in found for address in addresses_of(route)]
    # What goes with a row is listed as the packages store it.
    pages = [address for address in pages if not address.endswith("/delete/")]
    assert _walked([enter(administrator, language="zh-hans")], pages) > 25


def _walked(clients: list[Client], pages: list[str]) -> int:
    """How many pages answered; fails if one of them shows English."""
    found: dict[str, set[str]] = {}
    answered = 0
    for client in clients:
        for address in pages:
            response = client.get(address)
            if response.status_code != 200 or "html" not in response["content-type"]:
                continue
            answered += 1
            for text in english(response.content.decode()):
                found.setdefault(text, set()).add(address)
    listed = [f"{min(where)}: {text}" for text, where in found.items()]
    assert not listed, "\n".join(sorted(listed))
    return answered
