"""A headless Chromium that reports what a person would stumble over."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from tests.fixtures.cast import PASSWORD

from .chromium import CHROMIUM, FLAGS


@dataclass
class Visit:
    """A browser page with everything it complained about, and where its pictures go."""

    page: Page
    address: str
    pictures: Path
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str, *, name: str = "") -> None:
        """Go there, wait until it is drawn and, with a name, keep a picture of the whole page."""
        self.page.goto(self.address + path, wait_until="networkidle")
        self.page.wait_for_function("document.fonts.status === 'loaded'")
        if name:
            self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def log_in(self, username: str) -> None:
        self.open("/admin/login/")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("form#login-form [type=submit]")
        self.page.wait_for_url("**/admin/")

    def words(self) -> str:
        """What can be read on the page, without icons (their names are text in a font)."""
        return str(
            self.page.evaluate(
                "() => { const icons = document.querySelectorAll('.material-symbols-outlined');"
                " icons.forEach(icon => icon.remove()); return document.body.innerText; }"
            )
        )

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    # The driver's event loop lives in the test's thread, where Django would refuse queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Traffic:
    """How many requests the live server is answering; the browser may leave before its answers."""

    def __init__(self) -> None:
        self._answering = 0
        self._guard = threading.Lock()

    def begin(self, **_: Any) -> None:
        with self._guard:
            self._answering += 1

    def end(self, **_: Any) -> None:
        with self._guard:
            self._answering -= 1

    def wait_until_quiet(self, *, seconds: float = 60) -> None:
        """Until no request is being answered, twice in a row; fails when that takes too long."""
        quiet, deadline = 0, time.monotonic() + seconds
        while quiet < 2:
            assert time.monotonic() < deadline, f"{self._answering} requests are still answered"
            quiet = quiet + 1 if self._answering <= 0 else 0
            time.sleep(0.05)


@pytest.fixture
def traffic() -> Iterator[Traffic]:
    found = Traffic()
    request_started.connect(found.begin)
    request_finished.connect(found.end)
    yield found
    request_started.disconnect(found.begin)
    request_finished.disconnect(found.end)


@pytest.fixture(params=["en", "zh-Hans"])
def visit(
    request: pytest.FixtureRequest, chromium: Browser, pictures: Path, traffic: Traffic
) -> Iterator[Visit]:
    """A window of 1440 pixels in each of the two languages."""
    server = request.getfixturevalue("live_server")
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, locale=request.param, timezone_id="Asia/Shanghai"
    )
    page = context.new_page()
    found = Visit(page=page, address=server.url, pictures=pictures)

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.complaints.append(f"{message.type}: {message.text}")

    def see(response: Response) -> None:
        if response.status >= 400:
            found.complaints.append(f"{response.status}: {response.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: found.complaints.append(f"error: {error}"))
    page.on("response", see)
    yield found
    context.close()
    # A preview that was still asked for would meet the emptying of the tables in a deadlock.
    traffic.wait_until_quiet()
