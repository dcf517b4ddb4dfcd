"""On which days a kind of fact came: what Home reads to say that a feed has stopped."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0010_audit")]

    operations = [
        migrations.AddIndex(
            model_name="factbatch",
            index=models.Index(fields=["kind", "recorded_at"], name="factbatch_kind_time"),
        ),
    ]
