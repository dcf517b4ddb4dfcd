"""Merging at the desk: who may, what they see of it, and that nothing hidden shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from segmentation.models import (
    Customer,
    CustomerList,
    CustomerListMember,
    CustomerMerge,
    Job,
    Segment,
)
from segmentation.services.jobs import execute_job
from segmentation.services.manual_members import exclude_customer
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
