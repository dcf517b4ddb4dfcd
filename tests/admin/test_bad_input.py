"""What no table, no calendar and no number can hold is refused, on whichever page it arrives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from segmentation.models import AccessRecord, Draft, Job
from tests.fixtures.cast import Cast
from tests.fixtures.sample import Shop

Enter = Callable[..., Client]
LONG = "9" * 5000  # more digits than Python reads


@pytest.mark.parametrize(
    "path",
    [
        "portrait/?subject=segment:%00",
        "portrait/?subject=list:%00",
        "segmentation/customerlist/save/?subject=segment:%00",
        "segmentation/job/export/segment/?key=%00",
        "segmentation/job/export/portrait/?subject=segment:%00",
        "segmentation/job/export/memberships/?program=%00",
        "segmentation/draft/start/?kind=segment&from=a%00",
    ],
)
def test_a_nul_in_a_question_is_refused(cast: Cast, shop: Shop, enter: Enter, path: str) -> None:
    response = enter(User.objects.create_superuser("boss")).get(f"/admin/{path}")
    assert response.status_code in (400, 404)


@pytest.mark.parametrize(
    "path",
    [
        f"pghistory/context/outside/?after=5_1.{LONG}",
        f"pghistory/context/outside/?after=5_{LONG}.1",
        f"pghistory/context/?after={LONG}_x",
        f"segmentation/segment/{{segment}}/manual/?after={LONG}",
        f"segmentation/segment/{{segment}}/members/?after={LONG}",
        f"segmentation/segment/{{segment}}/history/?after=5_{LONG}.1",
        f"segmentation/segment/{{segment}}/history/?after=5_1.{LONG}",
        f"membership/membership/?program={LONG}",
        f"membership/transition/?program={LONG}",
        f"auth/user/?role={LONG}",
        f"segmentation/segmentresult/?segment={LONG}",
    ],
)
def test_a_position_too_long_to_be_one_shows_a_page(
    cast: Cast, shop: Shop, enter: Enter, path: str
) -> None:
    address = path.replace("{segment}", str(shop.segment.pk))
    client = enter(User.objects.create_superuser("boss"))
    assert client.get(f"/admin/{address}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        f"segmentation/job/export/memberships/?program={LONG}",
        f"segmentation/job/export/transitions/?program={LONG}",
        f"segmentation/job/export/segment/?key={{segment}}&run={LONG}",
        f"segmentation/job/export/portrait/?subject=segment:{{segment}}&run={LONG}",
        f"segmentation/job/{LONG}/change/",
        f"segmentation/job/{LONG}/progress/",
        f"segmentation/job/{LONG}/file/",
        f"portrait/?subject=segment:{{segment}}&run={LONG}",
    ],
)
def test_a_number_too_long_to_be_one_names_nothing(
    cast: Cast, shop: Shop, enter: Enter, path: str
) -> None:
    address = path.replace("{segment}", shop.segment.key)
    client = enter(User.objects.create_superuser("boss"))
    assert client.get(f"/admin/{address}").status_code < 500
    form = {"file_format": "csv", "key": "one"}
    assert client.post(f"/admin/{address}", form).status_code < 500
    assert not Job.objects.filter(kind="export").exclude(parameters={}).exists()


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
@pytest.mark.parametrize("end", ["since", "until"])
def test_a_day_at_the_end_of_the_calendar_is_no_question(
    cast: Cast, shop: Shop, enter: Enter, day: str, end: str
) -> None:
    client = enter(cast.auditor)
    for page in ("pghistory/context/", "segmentation/accessrecord/"):
        response = client.get(f"/admin/{page}?{end}={day}")
        assert response.status_code == 200
        assert response.context["form"].errors[end]
    if (day, end) == ("9999-12-31", "until"):
        form = {"file_format": "csv", "key": "one"}
        client.post(f"/admin/segmentation/job/export/access/?{end}={day}", form)
        assert not Job.objects.exists()


def test_a_nul_in_a_form_changes_nothing(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    for address, form in (
        ("segmentation/job/export/customers/?city=%00", {"file_format": "csv", "key": "k"}),
        (f"segmentation/customer/{shop.customers[0].pk}/reveal/", {"reason": "a\0b"}),
        (
            f"segmentation/draft/edit/segment/{shop.segment.key}/",
            {"view": "document", "text": 'key: x\nlabel: {en: "a\\0"}', "act": "save", "stamp": ""},
        ),
        (
            f"segmentation/draft/edit/segment/{shop.segment.key}/",
            {"view": "document", "text": 'key: x\nlabel: {en: "\\ud800"}', "act": "save"},
        ),
    ):
        response = client.post(f"/admin/{address}", form)
        assert response.status_code in (200, 400, 422), address
        assert "Traceback" not in response.content.decode()
    assert not Draft.objects.exists()
    assert not Job.objects.exists()
    assert not AccessRecord.objects.filter(kind=AccessRecord.Kind.REVEAL).exists()


@pytest.mark.parametrize("stamp", ["².1", "1.²", f"{LONG}.1", f"1.{LONG}", "1.", "x", f"v{LONG}"])
def test_a_stamp_that_is_none_is_a_conflict(
    cast: Cast, shop: Shop, enter: Enter, stamp: str
) -> None:
    form = {"view": "document", "text": "key: x", "act": "save", "stamp": stamp}
    address = f"/admin/segmentation/draft/edit/segment/{shop.segment.key}/"
    assert enter(cast.operations_manager).post(address, form).status_code == 409
    assert not Draft.objects.exists()


def test_the_refusal_is_in_the_language_of_the_reader(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager, language="zh-hans")
    response = client.get("/admin/portrait/?subject=segment:%00")
    assert response.status_code == 400
    assert "无法识别" in response.content.decode()
