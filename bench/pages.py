"""How long the main pages of the admin take as the operations manager and as a store manager.

    python bench/pages.py            50,000 customers, 400,000 orders
    SIZE=full python bench/pages.py  1 million customers, 8 million orders

Each page is asked for once to warm up, then five times, each time for another customer, segment or
name where there are several; the median counts. In one process, without a network: what the server
needs. The goal is 300 ms for a page, and a second for a part that a page asks for after it is drawn
(a portrait, a preview, the change before publishing); one above it is marked, and the exit code is
1. Runs in a scratch database of the project's cluster and a scratch VAR_DIR, both removed
at the end. Prints one JSON document.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402
from generate import Size  # noqa: E402

if TYPE_CHECKING:
    from page_list import Page

ROUNDS = 5
ASKED = 6
GOAL_MS = 300
PART_GOAL_MS = 1000
SHOWN_OTHERS = 10
PEOPLE = {"operations": "Operations manager", "store": "Store manager", "all": ""}
SIZES = {"quick": Size(50_000, 400_000), "full": Size(1_000_000, 8_000_000)}
STORE = "S7"


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.db import connection

    size = SIZES["full" if os.environ.get("SIZE") == "full" else "quick"]
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECOND_FACTOR = "optional"
    settings.TIME_ZONE, settings.BASE_CURRENCY = "America/New_York", "USD"
    name = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"{name}_pages_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings.VAR_DIR = Path(folder)
            rows = measure(size)
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
    slow = [row["page"] for row in rows if row["over"]]
    note = (
        f"{size.customers:,} customers, {size.orders:,} orders; goal {GOAL_MS} ms a page,"
        f" {PART_GOAL_MS} ms a part; {len(slow)} of {len(rows)} above it"
    )
    sys.stdout.write(json.dumps({"name": "pages", "rows": rows, "note": note}) + "\n")
    if slow:
        sys.exit(f"pages: above the goal: {', '.join(slow)}")


def measure(size: Size) -> list[dict[str, Any]]:
    """A row a page: median and slowest milliseconds, queries, bytes."""
    from django.contrib.auth.models import Group, User
    from django.test import Client
    from page_list import other_lists, pages
    from shop import make_shop, told

    from segmentation.models import StaffScope

    make_shop(size)
    clients = {}
    for name, role in PEOPLE.items():
        user = User.objects.create_user(name, is_staff=True, is_superuser=not role)
        user.groups.set(Group.objects.filter(name=role))
        clients[name] = Client(headers={"accept-language": "zh-hans"})
        clients[name].force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    StaffScope.objects.create(user=User.objects.get(username="store"), home_stores=[STORE])
    drafted = _drafts(User.objects.get(username="operations"))
    rows = [_measured(clients[page.person], page) for page in pages(drafted)]
    others = [_measured(clients[page.person], page) for page in other_lists()]
    others.sort(key=lambda row: -float(row["ms"]))
    told(f"{len(others)} lists and pages of all models, the slowest are shown", lambda: None)
    return [*rows, *others[:SHOWN_OTHERS], *(row for row in others[SHOWN_OTHERS:] if row["over"])]


def _drafts(user: Any) -> list[str]:
    """Six segments with a draft that is not published: one more condition on top of the rule."""
    from membership.services.drafts import save_draft, work_on
    from segmentation.domain.dependencies import Ref
    from segmentation.models import Segment

    made = []
    for row in Segment.objects.filter(is_hidden=False).order_by("-key")[:ASKED]:
        work = work_on(Ref("segment", row.key), viewer=user)
        more = {"metric": "spend_180", "cmp": "gte", "value": "50"}
        save_draft(
            work, document={**work.document, "rule": {"all": [work.document["rule"], more]}},
            stamp=work.stamp, viewer=user, actor=user.username,
        )  # fmt: skip
        made.append(row.key)
    return made


def _measured(client: Any, page: Page) -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def ask(address: str) -> Any:
        send = client.post if page.is_sent else client.get
        return send(address, follow=True)  # a draft's row leads to its builder

    addresses = itertools.cycle(page.addresses)
    answer = ask(next(addresses))  # warm
    if answer.status_code != 200:
        raise SystemExit(f"{page.name}: {page.addresses[0]}: {answer.status_code}")
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        answer = ask(next(addresses))
        taken.append(1000 * (time.perf_counter() - started))
        if answer.status_code != 200:
            raise SystemExit(f"{page.name}: {answer.request['PATH_INFO']}: {answer.status_code}")
    with CaptureQueriesContext(connection) as queries:
        ask(next(addresses))
    median = statistics.median(taken)
    goal = PART_GOAL_MS if page.is_part else GOAL_MS
    return {
        "page": page.name,
        "by": page.person,
        "kind": "part" if page.is_part else "page",
        "ms": round(median, 1),
        "slowest ms": round(max(taken), 1),
        "queries": len(queries),
        "kB": len(answer.content) // 1024,
        "over": "above goal" if median > goal else "",
    }


if __name__ == "__main__":
    main()
