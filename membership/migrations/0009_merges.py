"""Who runs the programs and who serves customers may say that two ids are one person; the auditor
sees which were merged."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES: dict[str, dict[str, str]] = {
    "Operations manager": {"segmentation": "merge_customers view_customermerge"},
    "Support agent": {"segmentation": "merge_customers view_customermerge"},
    "Auditor": {"segmentation": "view_customermerge"},
}


def add_rights(apps: Any, schema_editor: Any) -> None:
    config = apps.get_app_config("segmentation")
    config.models_module = True  # permissions are made after all migrations; we need it now
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, rights in ROLES.items():
        group = groups.objects.filter(name=name).first()
        if group is None:  # renamed or removed by a person: theirs to give
            continue
        for label, codenames in rights.items():
            group.permissions.add(
                *permissions.objects.filter(
                    content_type__app_label=label, codename__in=codenames.split()
                )
            )


class Migration(migrations.Migration):
    dependencies = [("membership", "0008_alerts"), ("segmentation", "0016_merges")]

    operations = [migrations.RunPython(add_rights, migrations.RunPython.noop)]
