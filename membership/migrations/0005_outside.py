"""Changes of memberships without an act, in the order of the page that lists them."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("membership", "0004_desk_lists")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX membershipevent_outside ON membership_membershipevent"
            " (pgh_created_at, pgh_id) WHERE pgh_context_id IS NULL",
            "DROP INDEX membershipevent_outside",
        )
    ]
