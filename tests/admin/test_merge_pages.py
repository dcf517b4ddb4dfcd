"""Merging at the desk: who may, what they see of it, and that nothing hidden shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from membership.services.merging import merge_customers
from segmentation.models import (
    Customer,
    CustomerList,
    CustomerListMember,
    CustomerMerge,
    FactBatch,
    Job,
    Segment,
)
from segmentation.services.jobs import execute_job
from segmentation.services.manual_members import exclude_customer
from segmentation.services.merge_moves import Writer
from tests.fixtures.cast import OWN_STORE, Cast
from tests.fixtures.world import CLUB, World

HIDDEN = ("others", "Quiet tulips", "安静郁金香")
pytestmark = pytest.mark.django_db(transaction=True)
Enter = Callable[..., Client]


def address(customer: Customer, other: Customer | None = None) -> str:
    found = reverse("admin:segmentation_customer_merge", args=[customer.pk])
    return found if other is None else f"{found}?other={other.pk}&stays=this"


@pytest.fixture
def pair(db: None) -> tuple[Customer, Customer]:
    """Two customers of the own store; the second is on a hidden list and kept out of a hidden
    segment."""
    world = World()
    world.apply(CLUB)
    for name in ("A-old", "B-new"):
        world.record("customers", {"customer_id": name, "home_store": OWN_STORE})
    world.order("A-old", "2026-01-20T10:00", "600")
    goes = Customer.objects.get(external_id="A-old")
    hidden = CustomerList.objects.create(
        key="quiet", label_en=HIDDEN[1], label_zh_hans=HIDDEN[2], is_hidden=True, size=1
    )
    CustomerListMember.objects.create(list=hidden, customer=goes)
    segment = Segment.objects.get(key="others")
    exclude_customer(segment, customer=goes, reason="x", actor="x")
    return Customer.objects.get(external_id="B-new"), goes


def test_shown_confirmed_done_and_undone(
    pair: tuple[Customer, Customer], cast: Cast, enter: Enter
) -> None:
    stays, goes = pair
    client = enter(cast.operations_manager)
    page = client.get(address(stays, goes))
    assert HIDDEN[1] in page.content.decode()  # who may see hidden things is told
    digest = page.context["confirm"].initial["digest"]
    sent = {"digest": digest, "key": "k1", "reason": ""}
    assert client.post(address(stays, goes), sent).status_code == 200  # a reason is required
    assert not Job.objects.filter(kind="merge_customers").exists()
    stale = client.post(address(stays, goes), {**sent, "reason": "same", "digest": "x"})
    assert stale.status_code == 200
    assert not Job.objects.filter(kind="merge_customers").exists()
    sent["reason"] = "same person"
    answers = [client.post(address(stays, goes), sent) for _ in range(2)]  # a double click
    job = Job.objects.get(kind="merge_customers")
    assert {answer["Location"] for answer in answers} == {
        reverse("admin:segmentation_job_change", args=[job.pk])
    }
    assert goes.external_id not in str(job.parameters) + job.subject
    assert execute_job(job, clock=real_now).status == Job.Status.DONE, job.error
    merge = CustomerMerge.objects.get()
    old = client.get(reverse("admin:segmentation_customer_change", args=[goes.pk]))
    here = reverse("admin:segmentation_customer_change", args=[stays.pk])
    assert (old.status_code, old["Location"]) == (302, here)
    page = client.get(here)
    undo = reverse("admin:segmentation_customermerge_undo", args=[merge.pk])
    assert undo in page.content.decode()
    listed = client.get(reverse("admin:segmentation_customermerge_changelist"))
    assert undo in listed.content.decode()
    answer = client.post(undo, {"reason": "two after all", "key": "k2"})
    back = Job.objects.get(kind="undo_merge")
    assert answer["Location"] == reverse("admin:segmentation_job_change", args=[back.pk])
    assert execute_job(back, clock=real_now).status == Job.Status.DONE, back.error
    merge.refresh_from_db()
    assert (merge.undone_by, merge.undo_reason) == ("operations_manager", "two after all")
    assert client.get(undo).status_code == 404
    assert execute_job(job, clock=real_now).status == Job.Status.DONE  # nothing is done again


def test_without_the_right_to_hidden_things_none_is_named(
    pair: tuple[Customer, Customer], cast: Cast, enter: Enter
) -> None:
    stays, goes = pair
    client = enter(cast.support_agent)
    page = client.get(address(stays, goes)).content.decode()
    assert "tw-danger" in page  # it could be confirmed
    assert not [secret for secret in HIDDEN if secret in page]


def test_other_roles_and_other_stores(
    pair: tuple[Customer, Customer], cast: Cast, enter: Enter
) -> None:
    stays, goes = pair
    for role in ("analyst", "auditor", "reviewer", "store_manager"):
        client = enter(getattr(cast, role))
        assert client.get(address(stays, goes)).status_code == 403, role
        page = client.get(reverse("admin:segmentation_customer_change", args=[stays.pk]))
        assert address(stays) not in page.content.decode(), role
    assert (
        enter(cast.auditor).get(reverse("admin:segmentation_customermerge_changelist")).status_code
        == 200
    )
    for role in ("analyst", "store_manager"):
        listed = enter(getattr(cast, role)).get(
            reverse("admin:segmentation_customermerge_changelist")
        )
        assert listed.status_code == 403, role
    assert not Job.objects.filter(kind__in=("merge_customers", "undo_merge")).exists()


def test_who_sees_one_store_only_is_told_nothing_of_another(
    pair: tuple[Customer, Customer], cast: Cast, enter: Enter
) -> None:
    """Also with every right to merge: neither that two were merged, nor that somebody is there."""
    stays, goes = pair
    world = World()
    for name in ("Z-far-old", "Z-far"):
        world.record("customers", {"customer_id": name, "home_store": "S2", "name": "Zebra"})
    world.record("customers", {"customer_id": "Z-near-old", "home_store": "S2"})
    old, far, near_old = (
        Customer.objects.get(external_id=name) for name in ("Z-far-old", "Z-far", "Z-near-old")
    )
    now = real_now()
    for survivor, merged in ((far, old), (stays, near_old)):
        writer = Writer(FactBatch.Source.ADMIN, "support", recorded_at=now, now=now)
        merge_customers(survivor.pk, merged.pk, reason="Zebra reason", writer=writer)
    wanted = ("merge_customers", "view_customermerge")
    cast.store_manager.user_permissions.add(*Permission.objects.filter(codename__in=wanted))
    client = enter(cast.store_manager)
    listed = client.get(reverse("admin:segmentation_customermerge_changelist"))
    assert listed.status_code == 200
    page = client.get(reverse("admin:segmentation_customer_change", args=[stays.pk]))
    offered = client.get(address(stays, far))
    for answer in (listed, page, offered):
        text = answer.content.decode()
        assert not [word for word in ("Z-far", "Z-near", "Zebra") if word in text], answer.request
    assert "confirm" not in (offered.context or {})
    for merge in CustomerMerge.objects.all():
        for name in ("undo", "change"):
            found = reverse(f"admin:segmentation_customermerge_{name}", args=[merge.pk])
            assert client.get(found).status_code == 404
    for customer in (old, far):
        found = reverse("admin:segmentation_customer_change", args=[customer.pk])
        assert client.get(found).status_code == 404
    assert client.get(address(stays, goes)).status_code == 200  # control: of the own store
    assert "confirm" in client.get(address(stays, goes)).context
