"""Words of pages whose models belong to packages, and of what others only name by a code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from config.setup import make_periodic_tasks
from membership.admin.customer_portrait import unit_words
from segmentation.models import AccessRecord, DefinitionVersion
from segmentation.services.exporting import export_scope, export_source
from tests.fixtures.cast import Cast
from tests.fixtures.sample import Shop

Enter = Callable[..., Client]


def test_staff_and_roles_are_called_what_they_are(cast: Cast, enter: Enter) -> None:
    client = enter(cast.auditor, language="zh-hans")
    html = client.get(reverse("admin:auth_group_changelist")).content.decode()
    assert "<title> 角色 | " in " ".join(html.split())
    assert "后台账号" in html
    role = Group.objects.get(name="Auditor")
    html = client.get(reverse("admin:auth_group_change", args=[role.pk])).content.decode()
    assert "组</" not in html


def test_a_version_is_told_by_kind_key_and_number(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager, language="zh-hans")
    row = DefinitionVersion.objects.get(kind="segment", key="app_users", number=1)
    address = reverse("admin:segmentation_definitionversion_change", args=[row.pk])
    assert "用户分群 app_users · 版本 1" in client.get(address).content.decode()


def test_a_look_at_a_draft_says_so(cast: Cast, enter: Enter) -> None:
    AccessRecord.objects.create(
        at=datetime.now(UTC),
        kind=AccessRecord.Kind.VIEW_HIDDEN,
        actor="operator",
        subject_kind="segment",
        subject_key="whispers",
        details={"page": "draft"},
    )
    client = enter(cast.auditor, language="zh-hans")
    html = client.get(reverse("admin:segmentation_accessrecord_changelist")).content.decode()
    assert "<td>草稿</td>" in " ".join(html.split()).replace("> ", ">").replace(" <", "<")


def test_a_list_is_called_by_what_it_lists(cast: Cast, enter: Enter) -> None:
    address = reverse("admin:segmentation_customer_changelist")
    for language, title in (("en", "Customers"), ("zh-hans", "用户")):
        html = enter(cast.operations_manager, language=language).get(address).content.decode()
        assert f"<title> {title} | " in " ".join(html.replace("<title>", "<title> ").split())


def test_the_access_log_is_exported_in_the_words_of_its_page(cast: Cast) -> None:
    AccessRecord.objects.create(
        at=datetime.now(UTC),
        kind=AccessRecord.Kind.VIEW_CUSTOMER,
        actor="support",
        subject_kind="customer",
        subject_key="C1000",
    )
    source = export_source("access")
    asked = {"person": "support", "subject_kind": "customer"}
    with override("zh-hans"):
        scope = export_scope(source, parameters=asked, user=cast.auditor, now=datetime.now(UTC))
        assert source.about(scope) == "对象类型：用户、人员：support"
        (row,) = source.rows(scope)
    assert row[3:5] == ("用户", "C1000")


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "At 02:00 · Asia/Shanghai"), ("zh-hans", "在 02:00 · Asia/Shanghai")],
)
def test_a_schedule_is_told_in_the_language_of_the_page(
    cast: Cast, enter: Enter, language: str, words: str
) -> None:
    make_periodic_tasks("Asia/Shanghai")
    client = enter(User.objects.create_superuser("administrator"), language=language)
    html = client.get(reverse("admin:django_celery_beat_periodictask_changelist")).content.decode()
    assert words in html
    assert ("每日重新计算" in html) is (language == "zh-hans")


def test_a_plain_number_has_no_unit_beside_it() -> None:
    assert unit_words("count") == ""
    assert unit_words("money") == "CNY"
