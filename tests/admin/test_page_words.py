"""Words of pages whose models belong to packages, and of what others only name by a code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from segmentation.models import AccessRecord, DefinitionVersion
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
