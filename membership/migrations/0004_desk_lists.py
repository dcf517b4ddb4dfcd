"""Indexes of the desk's lists and figures: terms that end, who came to a tier, who moved last."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("membership", "0003_roles")]

    operations = [
        migrations.AddIndex(
            model_name="membership",
            index=models.Index(
                fields=["program", "tier", "until"], name="membership_tier_until"
            ),
        ),
        migrations.AddIndex(
            model_name="membership",
            index=models.Index(
                condition=models.Q(("grace_until__isnull", False)),
                fields=["program", "grace_until"],
                name="membership_grace",
            ),
        ),
        migrations.AddIndex(
            model_name="transition",
            index=models.Index(fields=["-at", "-id"], name="transition_at"),
        ),
        migrations.AddIndex(
            model_name="transition",
            index=models.Index(
                fields=["program", "to_tier", "-at", "-id"], name="transition_to_tier"
            ),
        ),
        migrations.AddIndex(
            model_name="transition",
            index=models.Index(
                condition=models.Q(("kind__in", ("entry", "upgrade", "downgrade", "exit"))),
                fields=["-id"],
                name="transition_moved",
            ),
        ),
    ]
