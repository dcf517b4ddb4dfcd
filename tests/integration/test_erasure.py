"""Erasing a customer: what must be gone is searched for everywhere, by its bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pgtrigger
import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from rest_framework.test import APIClient

from config.clock import real_now
from membership.models import Transition
from membership.queries import profile_document, program_document, segment_document
from membership.services.erasure import erase_from_database
from membership.services.explain import explain
from membership.services.recompute import execute_next_run, request_run
from membership.services.verification import verify_run
from segmentation.domain.errors import NotFoundError
from segmentation.engine import mirror
from segmentation.models import (
    AccessRecord,
    Customer,
    CustomerList,
    CustomerListMember,
    CustomerTag,
    FactVersion,
    Job,
    MirrorManifest,
    Order,
    PrivacyRequest,
    Run,
    Segment,
)
from segmentation.services import privacy
from segmentation.services.access_log import Looker, record_access
from segmentation.services.api_keys import create_api_key
from segmentation.services.export_access import looks_asked_for
from segmentation.services.jobs import execute_job, job_folder
from segmentation.services.manual_members import include_customer
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)

ID = "CUST-zebra-77"
TRACES = (ID, "Zebra Quartz", "13987650001", "quartz@zebra.example", "payer-zebra",
          "o6_zebra_union", "zebra-note", "ORD-zebra", "secret-sku-zebra")  # fmt: skip
DEFINED: dict[str, Any] = {
    **CLUB,
    "tags": [
        {"group": "taste", "exclusive": True, "public": True, "values": ["sweet", "salty"]},
        {"group": "mood", "exclusive": True, "public": False, "values": ["calm", "stormy"]},
    ],
    "metrics": [
        *CLUB["metrics"],
        {
            "key": "brought",
            "source": "referrals",
            "aggregate": {"fn": "count", "converted_within_days": 30},
            "window": {"all": True},
            "unit": "count",
        },
    ],
    "layerings": [
        {
            "key": "quarters",
            "metric": "spend",
            "cuts": {"percentiles": [25, 50, 75]},
            "layers": ["q1", "q2", "q3", "q4"],
        }
    ],
}


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)


@pytest.fixture
def world() -> World:
    """Twelve customers with orders, the first of them with everything; one run published."""
    world = World()
    world.apply(DEFINED)
    world.record(
        "customers",
        {
            "customer_id": ID, "name": "Zebra Quartz", "phone": "13987650001", "home_store": "S1",
            "email": "quartz@zebra.example", "unionid": "o6_zebra_union",
            "birth_date": "1990-05-04", "consent_marketing": "true", "tag:taste": "sweet",
            "tag:mood": "stormy",
        },
    )  # fmt: skip
    world.record(
        "orders",
        *(
            {"order_id": f"O{number}", "customer_id": f"C{number}", "amount": 150 + 100 * number,
             "placed_at": "2026-01-20T10:00"}
            for number in range(11)
        ),
    )  # fmt: skip
    order = {"order_id": "ORD-zebra", "customer_id": ID, "placed_at": "2026-01-20T10:00"}
    world.record("orders", {**order, "amount": "1500", "payer_ref": "payer-zebra"})
    world.record("order_lines", {"order_id": "ORD-zebra", "line_no": "1", "amount": "1500",
                                 "sku": "secret-sku-zebra"})  # fmt: skip
    world.record("refunds", {"refund_id": "R-zebra", "order_id": "ORD-zebra", "amount": "10",
                             "refunded_at": "2026-01-21T10:00"})  # fmt: skip
    world.record("events", {"event_id": "E1", "customer_id": ID, "name": "visit",
                            "occurred_at": "2026-01-20T09:00",
                            "properties": '{"note": "zebra-note"}'})  # fmt: skip
    world.record("referrals", {"referral_id": "F1", "referrer_id": "C1", "referee_id": ID,
                               "occurred_at": "2026-01-10T09:00"})  # fmt: skip
    handed_over = {"order_id": "H1", "placed_at": "2026-01-22T10:00", "amount": "40"}
    world.record("orders", {**handed_over, "customer_id": ID, "payer_ref": "payer-zebra"})
    world.record("order_lines", {"order_id": "H1", "line_no": "1", "amount": "40", "sku": "S"})
    world.run("2026-02-01")
    world.record("orders", {**order, "amount": "1600", "payer_ref": "payer-zebra"})
    world.record("customers", {"customer_id": ID, "city": "Zebra Quartz"})
    world.record("orders", {**handed_over, "customer_id": "C3", "payer_ref": "other"})
    return world


def person() -> Customer:
    return Customer.objects.get(external_id=ID)


def erase(*, via: str = "admin") -> PrivacyRequest:
    asked = privacy.request_erasure(
        person(), confirmation=ID, by=privacy.Bringer("support_agent", via), now=real_now()
    )
    done = execute_job(Job.objects.get(pk=asked.details["job"]), clock=real_now)
    assert done.status == Job.Status.DONE, done.error
    asked.refresh_from_db()
    return asked


def rows_with_traces() -> dict[str, list[str]]:
    """Table to rows that hold one of the traces, over every table of the database."""
    found: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            hits = [row for (row,) in cursor.fetchall() if any(trace in row for trace in TRACES)]
            if hits:
                found[table] = hits
    return found


def mirrored() -> dict[str, list[dict[str, Any]]]:
    manifest = MirrorManifest.objects.get()
    found: dict[str, list[dict[str, Any]]] = {}
    for file in manifest.files:
        if file["role"] == "rows":
            table = pq.read_table(mirror.mirror_folder() / file["path"])
            found.setdefault(file["kind"], []).extend(table.to_pylist())
    return found


def leave_traces_everywhere(user: User) -> None:
    """In every table that can name a customer."""
    segment = Segment.objects.get(key="spenders")
    include_customer(segment, customer=person(), reason="zebra-note", actor="tester")
    listed = CustomerList.objects.create(key="l", label_en="L", label_zh_hans="L", size=1)
    CustomerListMember.objects.create(list=listed, customer=person())
    by = privacy.Bringer("support_agent", "admin", user)
    privacy.object_to_decisions(person(), by=by, now=real_now())
    asked = privacy.request_export(person(), by=by, now=real_now())
    execute_job(Job.objects.get(pk=asked.details["job"]), clock=real_now)
    record_access(
        "reveal", looker=Looker("support_agent", "admin", user), subject=f"customer:{ID}",
        now=real_now(), details={"reason": "zebra-note"},
    )  # fmt: skip
    record_access(
        "view_hidden", looker=Looker("operations", "admin", user), subject="segment:others",
        now=real_now(), is_hidden=True, details={"customer": ID, "page": "explain"},
    )  # fmt: skip
    Job.objects.create(
        kind="preview", subject="segment:spenders", actor="operations", requested_at=real_now(),
        status=Job.Status.DONE, result={"size": 2, "sample": [ID, "C1"]},
    )  # fmt: skip
    Job.objects.create(
        kind="export", subject="rows:customers", actor="operations", requested_at=real_now(),
        status=Job.Status.DONE, parameters={"parameters": {"query": {"q": ["13987650001"]}}},
    )  # fmt: skip
    run = Run.objects.order_by("-pk").first()
    assert run is not None
    run.parity_mismatches = [{"customer_id": ID, "subject": "x"}, {"customer_id": "C1"}]
    run.save()


def test_nothing_in_the_database_names_the_person_any_more(world: World) -> None:
    leave_traces_everywhere(User.objects.create_user("support_agent"))
    before = rows_with_traces()
    assert {
        "segmentation_customer", "segmentation_factversion", "segmentation_order",
        "segmentation_orderline", "segmentation_event", "segmentation_accessrecord",
        "segmentation_privacyrequest", "segmentation_run", "pghistory_context",
        "segmentation_manualmember", "segmentation_manualmemberevent",
    } <= set(before)  # fmt: skip
    export = PrivacyRequest.objects.get(kind="export")
    assert (job_folder(export.details["job"]) / "result").is_file()
    ordinal = person().ordinal
    asked = erase()
    after = rows_with_traces()
    assert after == {}
    assert not CustomerTag.objects.filter(customer__ordinal=ordinal).exists()
    blank = Customer.objects.get(ordinal=ordinal)
    assert blank.erased_at is not None
    assert blank.external_id.startswith("erased:")
    assert (blank.name, blank.phone, blank.birth_date, blank.home_store) == (None,) * 4
    assert not job_folder(export.details["job"]).exists()
    assert CustomerList.objects.get(key="l").size == 0
    assert asked.done_at is not None
    assert "rest" not in asked.details
    assert Run.objects.order_by("-pk")[0].parity_mismatches == [{"customer_id": "C1"}]
    reference = privacy.erased_reference(ID)
    assert Job.objects.get(kind="preview").result == {"size": 2, "sample": [reference, "C1"]}
    look = AccessRecord.objects.get(subject_key="others")
    assert look.details == {"customer": reference, "page": "explain"}


def test_an_id_that_is_a_number_goes_where_it_names_the_person_and_nowhere_else(
    world: World,
) -> None:
    world.record("customers", {"customer_id": "2000"})
    definition = {"key": "big", "rule": {"metric": "spend", "cmp": "gte", "value": "2000"}}
    counted = {"movements": [{"ref": "layer:points", "value": "2000", "size": 1}]}
    preview = Job.objects.create(
        kind="preview", subject="segment:big", actor="analyst", requested_at=real_now(),
        status=Job.Status.DONE, parameters={"document": definition, "subject": "segment:big"},
        result={"sample": ["2000", "C1"], **counted},
    )  # fmt: skip
    query = {"q": ["2000"], "program": ["2000"], "run": ["2000"]}
    members = Job.objects.create(
        kind="export", subject="rows:memberships", actor="analyst", requested_at=real_now(),
        status=Job.Status.DONE, parameters={"parameters": {"query": query}},
    )  # fmt: skip
    asked = (
        {"subject": "2000", "subject_kind": "customer"},
        {"subject": "2000", "subject_kind": "run"},
        {"subject": "customer:2000"},
    )
    for parameters in asked:
        record_access(
            "export", looker=Looker("auditor", "admin"), subject="rows:access", now=real_now(),
            details={"parameters": parameters},
        )  # fmt: skip
    by = privacy.Bringer("support_agent", "admin")
    person = Customer.objects.get(external_id="2000")
    asked_for = privacy.request_erasure(person, confirmation="2000", by=by, now=real_now())
    execute_job(Job.objects.get(pk=asked_for.details["job"]), clock=real_now)
    reference = privacy.erased_reference("2000")
    preview.refresh_from_db()
    assert preview.parameters == {"document": definition, "subject": "segment:big"}
    assert preview.result == {"sample": [reference, "C1"], **counted}
    members.refresh_from_db()
    assert members.parameters["parameters"]["query"] == {**query, "q": [reference]}
    looks = AccessRecord.objects.filter(subject_key="access").order_by("pk")
    assert [look.details["parameters"] for look in looks] == [
        {**asked[0], "subject": reference}, asked[1], {"subject": reference},
    ]  # fmt: skip


def test_receipts_and_the_access_log_stay_under_a_keyed_reference(world: World) -> None:
    leave_traces_everywhere(User.objects.create_user("support_agent"))
    looks = AccessRecord.objects.filter(subject_kind="customer").count()
    assert looks == 2  # the export and the reveal
    erase()
    reference = privacy.erased_reference(ID)
    kinds = PrivacyRequest.objects.filter(customer_ref=reference).values_list("kind", flat=True)
    assert sorted(kinds) == ["erase", "export", "object"]
    assert AccessRecord.objects.filter(subject_key=reference).count() == looks
    assert reference != privacy.erased_reference("C1")
    for asked in (
        {"subject": ID}, {"subject": f"customer:{ID}"}, {"subject": ID, "subject_kind": "customer"},
    ):  # fmt: skip
        found = looks_asked_for(AccessRecord.objects.all(), asked)
        assert found.filter(subject_key=reference).count() == looks, asked
    assert not looks_asked_for(AccessRecord.objects.all(), {"subject": f"segment:{ID}x"}).exists()
    record = AccessRecord.objects.first()
    with pytest.raises(DatabaseError), transaction.atomic():  # the log is append-only as ever
        AccessRecord.objects.filter(pk=record and record.pk).update(actor="x")


def test_the_mirror_answers_no_watermark_with_them(world: World) -> None:
    ordinal = person().ordinal
    before = mirrored()
    assert any(row["ordinal"] == ordinal for row in before["orders"])
    orders = set(Order.objects.filter(customer=person()).values_list("pk", flat=True))
    erase()
    after = mirrored()
    assert not [row for rows in after.values() for row in rows if row.get("ordinal") == ordinal]
    assert any(row["order_id"] in orders for row in before["refunds"])
    assert not [row for row in after.get("refunds", ()) if row["order_id"] in orders]
    assert not after.get("referrals")
    assert len(after["customers"]) == 11
    files = list(mirror.mirror_folder().rglob("*.parquet"))
    assert len(files) == len(MirrorManifest.objects.get().files)  # the old ones are swept
    assert not [path for path in files if ID.encode() in path.read_bytes()]
    # Built anew from PostgreSQL it says the same.
    for path in files:
        path.unlink()
    mirror.advance(now=real_now())
    rebuilt = mirrored()
    assert {row["ordinal"] for row in rebuilt["customers"]} == {
        row["ordinal"] for row in after["customers"]
    }
    assert not [row for rows in rebuilt.values() for row in rows if row.get("ordinal") == ordinal]


def test_an_order_that_went_to_somebody_else_keeps_its_lines(world: World) -> None:
    """The replaced version still tells the mirror which lines to write again."""
    heir = Customer.objects.get(external_id="C3")
    erase()
    run_again("2026-02-02")
    order = Order.objects.get(external_id="H1")
    assert order.customer == heir
    lines = [row for row in mirrored()["order_lines"] if row["order_id"] == order.pk]
    assert [row["ordinal"] for row in lines] == [heir.ordinal]
    version = FactVersion.objects.get(kind="orders", row_id=order.pk)
    assert version.row["payer_ref"] is None
    assert version.row["status"] == "cancelled"


def test_runs_and_reads_go_on_without_them(world: World) -> None:
    first = Run.objects.get()
    assert world.tiers()[ID] == "gold"
    assert ID in segment_document("spenders", as_of=None)["members"]
    erase()
    assert ID not in world.tiers()
    assert not Transition.objects.filter(customer__erased_at__isnull=False).exists()
    for as_of in (None, day("2026-02-01")):
        members = segment_document("spenders", as_of=as_of)
        assert ID not in members["members"]
        assert members["size"] == len(members["members"]) == 11
        found = program_document("club", as_of=as_of)["members"]
        assert ID not in [row["customer_id"] for row in found]
    with pytest.raises(NotFoundError):
        profile_document(ID)
    with pytest.raises(NotFoundError):
        explain(ID, subject="segment:spenders", run=first, zone=day("2026-01-01").tzinfo,  # type: ignore[arg-type]
                currency="CNY")  # fmt: skip
    run = run_again("2026-02-02")
    assert run.customers == 11
    assert ID not in world.members(run, "spenders")


def run_again(as_of: str) -> Run:
    """As `World.run`, which counts the erased row among those the oracle could look at."""
    request_run(as_of=day(as_of), actor="tester", now=real_now())
    done = execute_next_run(clock=real_now)
    assert done is not None
    assert (done.status, done.parity_mismatches) == (Run.Status.PUBLISHED, [])
    return done


def test_verification_compares_those_who_remain(world: World) -> None:
    """Contract: after erasure `verify_run` compares the customers that remain, also where the
    erased one moved a percentile cut or counted for a referrer."""
    run = Run.objects.get()
    before = verify_run(run.pk, now=real_now())
    assert (before.equal, before.erased) == (True, 0)
    erase()
    again = verify_run(run.pk, now=real_now())
    assert (again.equal, again.erased) == (True, 1)


def test_the_same_id_may_come_back_and_is_a_stranger(world: World) -> None:
    old = person().ordinal
    erase()
    world.order(ID, "2026-01-25T10:00", "99")
    assert person().ordinal == 12
    assert person().ordinal != old
    assert person().is_stub is True
    assert Order.objects.filter(customer=person()).count() == 1
    erase()
    assert Customer.objects.filter(erased_at__isnull=False).count() == 2


def test_an_erasure_that_was_killed_is_finished(world: World) -> None:
    """The transaction is done, the mirror is not: the job of the next attempt finds the rest."""
    ordinal = person().ordinal
    asked = privacy.request_erasure(
        person(), confirmation=ID, by=privacy.Bringer("a", "admin"), now=real_now()
    )
    erase_from_database(asked, now=real_now())
    assert any(row["ordinal"] == ordinal for row in mirrored()["orders"])
    done = execute_job(Job.objects.get(pk=asked.details["job"]), clock=real_now)
    assert done.status == Job.Status.DONE, done.error
    assert not any(row["ordinal"] == ordinal for row in mirrored()["orders"])


def test_two_requests_erase_once(world: World) -> None:
    by = privacy.Bringer("a", "admin")
    asked = [
        privacy.request_erasure(person(), confirmation=ID, by=by, now=real_now()) for _ in range(2)
    ]
    for request in asked:
        done = execute_job(Job.objects.get(pk=request.details["job"]), clock=real_now)
        assert done.status == Job.Status.DONE, done.error
        request.refresh_from_db()
        assert request.done_at is not None
    assert Customer.objects.filter(erased_at__isnull=False).count() == 1
    assert Order.objects.count() == 12  # of the others


def test_without_the_erasure_nothing_may_be_removed(world: World) -> None:
    """Control: the triggers that were switched off are on again, and refuse."""
    transition = Transition.objects.first()
    assert transition is not None
    erase()
    with pytest.raises(DatabaseError), transaction.atomic():
        Transition.objects.exclude(pk=transition.pk).delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        Customer.objects.filter(external_id="C1").update(name="x")
    assert pgtrigger.registered()


def test_the_api_no_longer_knows_them(world: World) -> None:
    scopes = ["customers:read", "customers:write", "members:read", "segments:read",
              "segments:read_hidden", "runs:read"]  # fmt: skip
    client = APIClient()
    key = create_api_key("app", scopes=scopes).key
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    sent = {"kind": "erase", "confirm": ID}
    answer = client.post(f"/api/v1/customers/{ID}/privacy", sent, format="json")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    job = Job.objects.get(kind="privacy_erase")
    assert ID not in str(job.parameters) + job.subject
    assert client.get(f"/api/v1/customers/{ID}").status_code == 200
    execute_job(job, clock=real_now)
    receipt = answer.json()["receipt"]
    assert client.get(f"/api/v1/privacy/{receipt}").json()["status"] == "done"
    for path in (f"customers/{ID}", f"customers/{ID}/memberships"):
        assert client.get(f"/api/v1/{path}").status_code == 404
    again = client.post(f"/api/v1/customers/{ID}/privacy", sent, format="json")
    assert again.status_code == 404
    run = Run.objects.get()
    for path in ("segments", "segments/spenders/members", "segments/others/members",
                 "segments/spenders/runs", "transitions", "runs", f"runs/{run.pk}", "programs",
                 f"privacy/{receipt}", "segments/spenders/members?part=entered"):  # fmt: skip
        found = client.get(f"/api/v1/{path}")
        assert found.status_code == 200, path
        assert not [trace for trace in TRACES if trace in found.content.decode()], path
    listed = client.get("/api/v1/segments/spenders/members").json()
    assert (listed["size"], len(listed["results"])) == (11, 11)
    sizes = {row["key"]: row["size"] for row in client.get("/api/v1/segments").json()["results"]}
    assert sizes["spenders"] == 11
    assert client.get(f"/api/v1/runs/{run.pk}").json()["segments"]["spenders"] == 11
