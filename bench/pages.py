"""How long the main pages of the admin take as the operations manager and as a store manager.

    python bench/pages.py            50,000 customers, 400,000 orders
    SIZE=full python bench/pages.py  1 million customers, 8 million orders

Each page is asked for once to warm up, then five times; the median counts. In one process, without
a network: what the server needs. The goal is 300 ms for each; one above it is marked, and the exit
code is 1. Runs in a scratch database of the project's cluster and a scratch VAR_DIR, both removed
at the end. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402
from generate import Size  # noqa: E402

ROUNDS = 5
GOAL_MS = 300
SIZES = {"quick": Size(50_000, 400_000), "full": Size(1_000_000, 8_000_000)}
STORE = "S7"


@dataclass(frozen=True)
class Page:
    """What is asked for, by whom; `name` is what the table calls it."""

    name: str
    address: str
    person: str = "operations"


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
        f"{size.customers:,} customers, {size.orders:,} orders; goal {GOAL_MS} ms for each page,"
        f" {len(slow)} of {len(rows)} above it"
    )
    sys.stdout.write(json.dumps({"name": "pages", "rows": rows, "note": note}) + "\n")
    if slow:
        sys.exit(f"pages: above the goal of {GOAL_MS} ms: {', '.join(slow)}")


def measure(size: Size) -> list[dict[str, Any]]:
    """A row a page: median and slowest milliseconds, queries, bytes."""
    from django.contrib.auth.models import Group, User
    from django.test import Client
    from shop import make_shop

    from segmentation.models import StaffScope

    make_shop(size)
    clients = {}
    for name, role in (("operations", "Operations manager"), ("store", "Store manager")):
        user = User.objects.create_user(name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        clients[name] = Client(headers={"accept-language": "zh-hans"})
        clients[name].force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    StaffScope.objects.create(user=User.objects.get(username="store"), home_stores=[STORE])
    return [_measured(clients[page.person], page) for page in pages()]


def _measured(client: Any, page: Page) -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    answer = client.get(page.address)  # warm
    if answer.status_code != 200:
        raise SystemExit(f"{page.name}: {page.address}: {answer.status_code}")
    with CaptureQueriesContext(connection) as queries:
        client.get(page.address)
        asked = len(queries)  # later requests empty the log
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        client.get(page.address)
        taken.append(1000 * (time.perf_counter() - started))
    median = statistics.median(taken)
    return {
        "page": page.name,
        "by": page.person,
        "ms": round(median, 1),
        "slowest ms": round(max(taken), 1),
        "queries": asked,
        "kB": len(answer.content) // 1024,
        "over": "above goal" if median > GOAL_MS else "",
    }


def pages() -> Iterator[Page]:
    """The pages that people open all day; addresses of the rows that the shop has."""
    from urllib.parse import urlencode

    from django.urls import reverse

    from membership.models import Membership, Program, Transition
    from segmentation.models import Customer, Layering, Metric, Run, Segment, TagGroup

    def at(name: str, *args: Any, **query: str) -> str:
        address = reverse(f"admin:{name}", args=args)
        return f"{address}?{urlencode(query)}" if query else address

    program = Program.objects.get()
    internal = Segment.objects.filter(is_hidden=False).order_by("key")[0]
    hidden = Segment.objects.filter(is_hidden=True).order_by("key")[0]
    member = Membership.objects.order_by("pk")[0]
    known = Customer.objects.get(pk=member.customer_id)
    moved = Transition.objects.order_by("-pk")[0]
    run = Run.objects.order_by("-pk")[0]
    club = {"program": program.key}
    month = {"day_from": "2025-12-01", "day_to": "2026-01-31"}
    customers, memberships, transitions = (
        f"{name}_changelist"
        for name in ("segmentation_customer", "membership_membership", "membership_transition")
    )
    yield Page("home", at("index"))
    yield Page("customers", at(customers))
    yield Page("customers: last 4 digits", at(customers, q=str(known.phone)[-4:]))
    yield Page("customers: name", at(customers, q="Rowan 7"))
    yield Page("customer", at("segmentation_customer_change", known.pk))
    yield Page("customer: portrait", at("segmentation_customer_portrait", known.pk))
    yield Page(
        "customer: explain tier",
        at("segmentation_customer_explain", known.pk, subject=f"tier:{program.key}"),
    )
    yield Page("orders", at("segmentation_order_changelist"))
    yield Page("segments", at("segmentation_segment_changelist"))
    yield Page("segment", at("segmentation_segment_change", internal.pk))
    yield Page("hidden segment", at("segmentation_segment_change", hidden.pk))
    yield Page("segment: members", at("segmentation_segment_members", internal.pk))
    yield Page("segment: portrait", f"{reverse('portrait')}?subject=segment:{internal.key}")
    yield Page("segment: edit", at("builder_draft", "segment", internal.key))
    yield Page("metrics", at("segmentation_metric_changelist"))
    yield Page("metric", at("segmentation_metric_change", Metric.objects.order_by("key")[0].pk))
    yield Page("tags", at("segmentation_taggroup_changelist"))
    yield Page("tag", at("segmentation_taggroup_change", TagGroup.objects.all()[0].pk))
    yield Page("layering", at("segmentation_layering_change", Layering.objects.all()[0].pk))
    yield Page("programs", at("membership_program_changelist"))
    yield Page("program", at("membership_program_change", program.pk))
    yield Page("program: versions", at("membership_program_versions", program.pk))
    yield Page("memberships", at(memberships))
    yield Page("memberships: gold", at(memberships, **club, tier="gold"))
    yield Page(
        "memberships: gold until",
        at(memberships, **club, tier="gold", until_from="2026-03-01", until_to="2026-03-31"),
    )
    yield Page("memberships: in grace", at(memberships, grace_until__isnull="False"))
    yield Page("memberships: name", at(memberships, q="Rowan 7"))
    yield Page("membership", at("membership_membership_change", member.pk))
    yield Page("membership: gap", at("membership_membership_gap", member.pk))
    yield Page("transitions", at(transitions))
    yield Page(
        "transitions: became gold",
        at(transitions, **club, to_tier="gold", kind__in="entry,upgrade", **month),
    )
    yield Page("transitions: exits", at(transitions, kind__in="exit", **month))
    yield Page("transition", at("membership_transition_change", moved.pk))
    yield Page("runs", at("segmentation_run_changelist"))
    yield Page("run", at("segmentation_run_change", run.pk))
    yield Page("imports", at("segmentation_factbatch_changelist"))
    yield Page("data quality", at("segmentation_factbatch_quality"))
    yield Page("jobs", at("segmentation_job_changelist"))
    yield Page("drafts", at("segmentation_draft_changelist"))
    yield Page("definition versions", at("segmentation_definitionversion_changelist"))
    yield Page("search", at("search", s="Rowan 7", extended="1"))
    yield Page("home", at("index"), "store")
    yield Page("customers", at(customers), "store")
    yield Page("customers: name", at(customers, q="Rowan 7"), "store")
    yield Page("memberships", at(memberships), "store")
    yield Page("transitions", at(transitions), "store")
    yield Page("program", at("membership_program_change", program.pk), "store")
    yield Page("orders", at("segmentation_order_changelist"), "store")
    yield Page("segments", at("segmentation_segment_changelist"), "store")
    yield Page("segment", at("segmentation_segment_change", internal.pk), "store")


if __name__ == "__main__":
    main()
