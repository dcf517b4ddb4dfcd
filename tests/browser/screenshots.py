"""Pictures of the main pages in both languages, from the demo, for the README and the docs.

    make screenshots            loads and serves the demo, writes docs/images/*.png
    make screenshots URL=...    the same of a demo that is served already

The demo's own log-ins are used, so a picture shows what that role sees. Names never change:
`home.png` in English, `home.zh-CN.png` in Chinese.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from .chromium import CHROMIUM, FLAGS

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FOLDER = REPOSITORY / "docs" / "images"
LANGUAGES = {"en": "", "zh-CN": ".zh-CN"}  # the browser's language and what the name ends in
WINDOW = {"width": 1440, "height": 1000}
_ADDRESS = "Address: "
_FIRST = "#result_list tbody th a"  # the first row of a list


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as one person sees it; `follow` is a link on it that leads to the page meant."""

    name: str
    person: str
    path: str
    follow: str = ""


PICTURES = (
    Picture("home", "operations", "/admin/"),
    Picture("customer", "operations", "/admin/segmentation/customer/?q=1519", _FIRST),
    Picture("segment", "operations", "/admin/segmentation/segment/?q=lapsing_high_value", _FIRST),
    Picture("builder", "operations", "/admin/segmentation/draft/edit/segment/lapsing_high_value/"),
    Picture("portrait", "operations", "/admin/portrait/?subject=segment:lapsing_high_value"),
    Picture("program", "operations", "/admin/membership/program/?q=household_club", _FIRST),
    Picture(
        "transitions",
        "operations",
        "/admin/membership/transition/?program=household_club&to_tier=gold"
        "&kind__in=entry,upgrade&day_from=2017-12-01&day_to=2017-12-31",
    ),
    Picture("run", "operations", "/admin/segmentation/run/", _FIRST),
    Picture("import", "operations", "/admin/segmentation/factbatch/upload/"),
    Picture("looks", "auditor", "/admin/segmentation/accessrecord/"),
    Picture("support", "support", "/admin/"),
    Picture("store", "store_manager", "/admin/"),
)


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    given = os.environ.get("URL", "").strip().rstrip("/")
    with _demo(given) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for language, ending in LANGUAGES.items():
            for person in dict.fromkeys(picture.person for picture in PICTURES):
                _take(browser, url, person=person, language=language, ending=ending)
        browser.close()
    return 0


@contextmanager
def _demo(url: str) -> Iterator[str]:
    """Where the demo answers. Without an address it is loaded and served for as long as needed."""
    if url:
        yield url
        return
    command = [sys.executable, str(REPOSITORY / "manage.py"), "demo"]
    demo = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        yield _address(demo)
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGINT)
            demo.wait(timeout=60)


def _address(demo: subprocess.Popen[str]) -> str:
    for line in demo.stdout or ():
        sys.stdout.write(line)
        if line.startswith(_ADDRESS):
            return line.removeprefix(_ADDRESS).strip().rstrip("/")
    raise SystemExit("The demo ended without saying where it is served.")


def _password(person: str) -> str:
    file = Path(os.environ.get("VAR_DIR", REPOSITORY / "var")) / "demo-logins"
    known = dict(line.split(maxsplit=1) for line in file.read_text().splitlines() if line.strip())
    return known[person].strip()


def _take(browser: Browser, url: str, *, person: str, language: str, ending: str) -> None:
    """All pictures of one person in one language."""
    context = browser.new_context(viewport=WINDOW, locale=language, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    _open(page, f"{url}/admin/login/")
    page.fill("#id_username", person)
    page.fill("#id_password", _password(person))
    page.click("form#login-form [type=submit]")
    page.wait_for_url("**/admin/")
    for picture in PICTURES:
        if picture.person != person:
            continue
        _open(page, url + picture.path)
        if picture.follow:
            _open(page, url + str(page.locator(picture.follow).first.get_attribute("href")))
        path = FOLDER / f"{picture.name}{ending}.png"
        page.screenshot(path=path)
        sys.stdout.write(f"{path.relative_to(REPOSITORY)}\n")
    context.close()


def _open(page: Page, address: str) -> None:
    """Go there and wait until everything is drawn; a page that fails ends the work."""
    answer = page.goto(address, wait_until="networkidle")
    if answer is None or answer.status != 200:
        raise SystemExit(f"{address}: {answer.status if answer else 'no answer'}")
    page.wait_for_function("document.fonts.status === 'loaded'")


if __name__ == "__main__":
    raise SystemExit(main())
