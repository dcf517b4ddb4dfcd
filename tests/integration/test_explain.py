"""Explain against a real run: it repeats the run's verdicts, whatever was recorded later.

P03 (which spend counts), P08 (an old decision replays with its own version), S16.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from membership.services.applying import Source, apply_documents
from membership.services.recompute import execute_next_run, request_run
from segmentation.models import Customer, ManualMember, Objection, Run, Segment
from segmentation.services.history import load_histories
from segmentation.services.importing import import_file

pytestmark = pytest.mark.django_db(transaction=True)

DEFINITIONS = """
tags:
  - {group: city_tier, label: {en: City tier, zh-hans: 城市等级}, exclusive: true,
     values: [first, second, third]}
metrics:
  - {key: spend, label: {en: Net spend, zh-hans: 净消费}, source: orders,
     aggregate: {fn: sum, field: net_amount}, window: {days: 365}, unit: money}
  - {key: since, label: {en: Days since last order, zh-hans: 距上次下单天数}, source: orders,
     aggregate: {fn: days_since_last}, window: {all: true}, unit: days}
layerings:
  - {key: halves, metric: spend, cuts: {percentiles: [50]}, layers: [lower, upper]}
segments:
  - key: lapsing
    label: {en: Lapsing high value, zh-hans: 高价值流失预警}
    purpose: retention
    visibility: hidden
    rule:
      all:
        - {layer: halves, cmp: in, value: [upper]}
        - {metric: since, cmp: gt, value: 60}
        - {not: {tag: city_tier, cmp: in, value: [third]}}
  - key: risen
    purpose: service
    visibility: internal
    rule: {tier: gold, cmp: at_least, value: silver}
programs:
  - key: gold
    label: {en: Gold Club, zh-hans: 金卡会员}
    version:
      effective_from: 2017-01-01
      qualification: {period: rolling}
      upgrade: immediate
      keep_for: {months: 12}
      grace: {days: 30}
      downgrade: one_level
      tiers:
        - {key: silver, rank: 1, label: {en: Silver, zh-hans: 银卡},
           rule: {metric: spend, cmp: gte, value: "100"}}
        - {key: gold, rank: 2, label: {en: Gold, zh-hans: 金卡},
           rule: {metric: spend, cmp: gte, value: "1000"}}
"""
ORDERS = """order_id,customer_id,placed_at,amount
o1,ann,2017-10-01,150.00
o2,bob,2017-12-20,200.00
o3,bob,2017-12-21,900.00
o4,cat,2017-01-05,20.00
"""
ZONE = ZoneInfo("Asia/Shanghai")
AS_OF = datetime(2018, 1, 1, tzinfo=ZONE)

Record = Callable[[str, str], None]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    def write(kind: str, rows: str) -> None:
        path = tmp_path / f"{kind}.csv"
        path.write_text(rows, encoding="utf-8")
        counts = import_file(
            path,
            kind=kind,
            actor="operator",
            zone=ZONE,
            base_currency="CNY",
            now=AS_OF,
            recorded_at=timezone.now(),
        )
        assert counts.rejected == 0

    return write


@pytest.fixture(autouse=True)
def base(record: Record) -> None:
    assert (settings.TIME_ZONE, settings.BASE_CURRENCY) == ("Asia/Shanghai", "CNY")
    apply_definitions(DEFINITIONS)
    record("orders", ORDERS)
    record("tags", "customer_id,group,value\nann,city_tier,first\n")


def apply_definitions(text: str) -> None:
    source = Source("definitions.yaml", text)
    apply_documents((source,), actor="operator", reason="test", now=timezone.now(), dry_run=False)


def run_at(as_of: datetime = AS_OF) -> Run:
    request_run(as_of=as_of, actor="operator", now=timezone.now())
    run = execute_next_run(clock=lambda: datetime.now(UTC))
    assert run is not None
    assert run.error == ""
    assert run.status in (Run.Status.PUBLISHED, Run.Status.HISTORICAL)
    assert run.parity_mismatches == []
    assert run.parity_checked > 0
    return run


def explained(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("explain", *words, "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def refused(*words: str) -> dict[str, Any]:
    out = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("explain", *words, "--json", stdout=out)
    assert left.value.code == 1
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_a_segment() -> None:
    """Every leaf with what it read; the sentence names only what decided (P03)."""
    run = run_at()
    ann = explained("ann", "segment:lapsing")
    assert list(ann)[:4] == ["customer_id", "subject", "as_of", "run"]
    assert (ann["customer_id"], ann["subject"], ann["run"]) == ("ann", "segment:lapsing", run.pk)
    assert ann["as_of"] == "2018-01-01T00:00:00+08:00"
    assert ann["verdict"] is True
    layer, since, city = ann["tree"]["children"]
    assert (layer["leaf"], layer["actual"], layer["path"]) == ("layer:halves", "upper", "/all/0")
    assert since == {
        "leaf": "metric:since",
        "cmp": "gt",
        "value": "60",
        "actual": "92",
        "missing": False,
        "interval": [None, "2018-01-01T00:00:00+08:00"],
        "verdict": True,
        "path": "/all/1",
        "facts": 1,
        "exact": None,
        "gap": None,
    }
    assert (city["node"], city["children"][0]["actual"]) == ("not", ["first"])
    bob = explained("bob", "segment:lapsing")
    assert bob["verdict"] is False
    assert bob["sentence"]["en"] == (
        "Not in Lapsing high value: Days since last order (all history, before 2018-01-01 00:00)"
        " is 11, must be above 60 (as of 2018-01-01 00:00)."
    )
    assert "高价值流失预警" in bob["sentence"]["zh-hans"]
    assert "距上次下单天数" in bob["sentence"]["zh-hans"]


def test_a_tier() -> None:
    """The tier that qualifies, each tier's tree, and the gap to the next."""
    run_at()
    ann = explained("ann", "tier:gold")
    assert ann["verdict"] == "silver"
    assert [child["tier"] for child in ann["tree"]["children"]] == ["gold", "silver"]
    gold = ann["tree"]["children"][0]["children"][0]
    assert (gold["actual"], gold["value"], gold["gap"]) == ("150.00", "1000.00", "850.00")
    assert gold["interval"] == ["2017-01-01T00:00:00+08:00", "2018-01-01T00:00:00+08:00"]
    assert "must be at least 1000.00 (850.00 more)" in ann["sentence"]["en"]
    assert explained("bob", "tier:gold")["verdict"] == "gold"
    cat = explained("cat", "tier:gold")
    assert cat["verdict"] is None
    assert cat["sentence"]["en"].startswith("Does not qualify for Silver in Gold Club: ")
    before = run_at(datetime(2016, 6, 1, tzinfo=ZONE))
    nothing = explained("ann", "tier:gold", "--as-of", "2016-06-02")
    assert (nothing["run"], nothing["verdict"]) == (before.pk, None)
    assert nothing["tree"]["children"] == []


def test_the_run_stays_what_it_was(record: Record) -> None:
    """P08: facts, definitions and manual rows of later days do not change an old answer."""
    run = run_at()
    asked = [("ann", "segment:lapsing"), ("bob", "segment:lapsing"), ("bob", "tier:gold")]
    before = [explained(*words) for words in asked]
    record("orders", "order_id,customer_id,placed_at,amount\no1,dan,2017-10-01,1.00\n")
    record("refunds", "refund_id,order_id,refunded_at,amount\nr1,o3,2017-12-30,900.00\n")
    apply_definitions(DEFINITIONS.replace("value: 60", "value: 5"))
    manual = ManualMember.Kind.EXCLUDE
    lapsing = Segment.objects.get(key="lapsing")
    ann = Customer.objects.get(external_id="ann")
    ManualMember.objects.create(
        segment=lapsing, customer=ann, kind=manual, reason="asked", actor="ops"
    )
    assert [explained(*words) for words in asked] == before
    later = run_at(AS_OF + timedelta(days=1))
    assert explained("ann", "segment:lapsing")["run"] == later.pk
    out = explained("ann", "segment:lapsing")
    assert (out["verdict"], out["manual"]) == (False, "exclude")
    assert out["sentence"]["en"].startswith("Not in Lapsing high value: kept out by hand")
    assert explained("bob", "tier:gold")["verdict"] == "silver"
    assert explained("dan", "tier:gold")["verdict"] is None
    old = [explained(*words, "--as-of", "2018-01-01T23:59:59") for words in asked]
    assert old == before
    assert old[0]["run"] == run.pk
    unknown_then = refused("dan", "tier:gold", "--as-of", "2018-01-01")
    assert unknown_then["code"] == "not_found"


def test_objection_and_include() -> None:
    """S16: put in by hand after the rule; an objection takes out of hidden segments."""
    lapsing = Segment.objects.get(key="lapsing")
    for name in ("bob", "cat"):
        customer = Customer.objects.get(external_id=name)
        ManualMember.objects.create(
            segment=lapsing,
            customer=customer,
            kind=ManualMember.Kind.INCLUDE,
            reason="vip",
            actor="ops",
        )
    cat = Customer.objects.get(external_id="cat")
    Objection.objects.create(customer=cat, objected_at=timezone.now())
    run_at()
    bob = explained("bob", "segment:lapsing")
    assert (bob["verdict"], bob["manual"], bob["tree"]["verdict"]) == (True, "include", False)
    objecting = explained("cat", "segment:lapsing")
    assert (objecting["verdict"], objecting["objection"]) == (False, True)
    assert "objects to personalised decisions" in objecting["sentence"]["en"]


def test_a_tier_leaf_reads_the_membership_before_the_run() -> None:
    """The first run starts from nothing; the next reads what the first one gave."""
    run_at()
    assert explained("ann", "segment:risen")["verdict"] is False
    assert explained("ann", "segment:risen")["tree"]["missing"] is True
    run_at(AS_OF + timedelta(days=1))
    risen = explained("ann", "segment:risen")
    assert (risen["verdict"], risen["tree"]["actual"]) == (True, "silver")
    gold = explained("ann", "tier:gold")
    assert gold["held_before"] == "silver"


REFUSALS = [
    (("nobody", "segment:lapsing"), "not_found", "There is no customer 'nobody'."),
    (("ann", "segment:lapsin"), "not_found", "did you mean lapsing?"),
    (("ann", "tier:golt"), "not_found", "did you mean gold?"),
    (("ann", "lapsing"), "invalid", "write segment:KEY or tier:PROGRAM"),
    (("ann", "metric:spend"), "invalid", "write segment:KEY or tier:PROGRAM"),
    (("ann", "tier:gold", "--as-of", "2017-12-31"), "not_found", "no published run"),
    (("ann", "tier:gold", "--as-of", "soon"), "invalid", "no ISO time"),
]


def test_refusals() -> None:
    run_at()
    for words, code, message in REFUSALS:
        error = refused(*words)
        assert error["code"] == code
        assert message in error["message"] + str(error["details"])


def test_for_a_person() -> None:
    """Without --json: both sentences and the tree."""
    run_at()
    out = StringIO()
    call_command("explain", "bob", "segment:lapsing", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("Not in Lapsing high value: ")
    assert "高价值流失预警" in lines[1]
    assert lines[3] == "- all"
    assert lines[5] == "  - metric:since gt 60: 11  [..., 2018-01-01T00:00:00+08:00)"


def test_histories_as_of_a_watermark(record: Record, django_assert_max_num_queries: Any) -> None:
    """Replaced versions come back for older watermarks; the number of queries does not grow with
    the number of customers."""
    first = run_at().watermark
    assert first is not None
    record("orders", "order_id,customer_id,placed_at,amount,channel\no1,bob,2017-10-01,7.00,app\n")
    record("orders", "order_id,customer_id,placed_at,amount,channel\no1,bob,2017-10-01,8.00,app\n")
    record("customers", "customer_id,city\nann,Lyon\n")
    properties = json.dumps({"n": 1.5, "ok": True, "no": None}).replace("1.5", "1.50")
    quoted = properties.replace(chr(34), chr(34) * 2)
    record(
        "events",
        f'event_id,customer_id,name,occurred_at,properties\ne1,ann,v,2017-10-02,"{quoted}"\n',
    )
    record("referrals", "referral_id,referrer_id,referee_id,occurred_at\nf1,ann,bob,2017-10-02\n")
    record("tags", "customer_id,group,value\nann,city_tier,second\n")
    record("order_lines", "order_id,line_no,sku,amount\no2,2,b,80.00\no2,1,a,120.00\n")
    second = run_at(AS_OF + timedelta(days=1)).watermark
    assert second is not None
    ids = list(Customer.objects.order_by("external_id").values_list("pk", flat=True))

    def amounts(watermark: int) -> dict[str, list[str]]:
        with django_assert_max_num_queries(13):
            found = load_histories(ids, watermark=watermark)
        return {
            history.external_id: sorted(str(order.amount) for order in history.orders)
            for history in found.values()
        }

    assert amounts(0) == {}
    assert amounts(first) == {
        "ann": ["150.0000"],
        "bob": ["200.0000", "900.0000"],
        "cat": ["20.0000"],
    }
    assert amounts(second) == {
        "ann": [],
        "bob": ["200.0000", "8.0000", "900.0000"],
        "cat": ["20.0000"],
    }
    old, new = (load_histories(ids[:1], watermark=mark)[ids[0]] for mark in (first, second))
    assert (old.attributes.city, new.attributes.city) == (None, "Lyon")
    assert (len(old.events), len(old.referrals)) == (0, 0)
    assert [tag.value for tag in old.tags] == ["first"]
    assert [tag.value for tag in new.tags] == ["second"]
    assert {key: str(value) for key, value in new.events[0].properties.items()} == {
        "n": "1.50",
        "ok": "True",
        "no": "None",
    }
    assert (new.referrals[0].referee, len(new.referrals[0].referee_orders)) == ("bob", 3)
    bob = load_histories(ids[1:2], watermark=second)[ids[1]]
    assert [[line.sku for line in order.lines] for order in bob.orders if order.lines] == [
        ["a", "b"]
    ]
