"""The roles of the product, as groups. A person may change them; a later release adds, never takes."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

_APPS = ("segmentation", "membership", "auth", "admin", "axes", "django_celery_beat")

_CUSTOMERS = "view_customer view_customertag"
_FACTS = "view_order view_orderline view_refund view_event view_referral"
_WHAT_WE_KNOW = f"{_CUSTOMERS} {_FACTS} view_factversion view_objection"
_DEFINED = (
    "view_taggroup view_metric view_layering view_segment view_customerlist view_manualmember "
    "view_definitionversion view_definitionset view_card"
)
_RESULTS = "view_run view_segmentresult view_runcount view_factbatch view_mirrormanifest"
_PAST = (
    "view_taggroupevent view_metricevent view_layeringevent view_segmentevent "
    "view_manualmemberevent view_customerlistevent view_cardevent view_draftevent"
)
_DRAFTS = "view_draft add_draft change_draft delete_draft change_card"
_PROMISED = "view_program view_programversion view_tier view_membership view_transition"
_PROMISED_PAST = "view_programevent view_membershipevent"

ROLES: dict[str, dict[str, str]] = {
    "Operations manager": {
        "segmentation": " ".join(
            (
                "view_all_customers view_hidden_segment reveal_personal_data export_data",
                "export_personal_data request_run verify_run import_facts view_all_jobs",
                "publish_tag publish_metric publish_layering publish_segment publish_program",
                "add_manualmember delete_manualmember add_customerlist change_customerlist",
                "view_privacyrequest add_privacyrequest view_job view_installation",
                _WHAT_WE_KNOW, _DEFINED, _RESULTS, _PAST, _DRAFTS,
            )
        ),
        "membership": f"{_PROMISED} {_PROMISED_PAST}",
    },
    "Reviewer": {
        "segmentation": " ".join(
            (
                "view_all_customers view_hidden_segment export_data view_job view_draft",
                _CUSTOMERS, _DEFINED, _RESULTS, _PAST,
            )
        ),
        "membership": f"{_PROMISED} {_PROMISED_PAST}",
    },
    "Analyst": {
        "segmentation": " ".join(
            (
                "view_all_customers export_data request_run verify_run view_job",
                "publish_metric publish_layering view_installation",
                _WHAT_WE_KNOW, _DEFINED, _RESULTS, _PAST, _DRAFTS,
            )
        ),
        "membership": f"{_PROMISED} {_PROMISED_PAST}",
    },
    "Support agent": {
        "segmentation": " ".join(
            (
                "view_all_customers reveal_personal_data view_segment view_objection",
                "view_privacyrequest add_privacyrequest",
                _CUSTOMERS, _FACTS,
            )
        ),
        "membership": _PROMISED,
    },
    "Store manager": {  # rows of the own stores only: no view_all_customers
        "segmentation": f"view_segment export_data view_job {_CUSTOMERS} {_FACTS}",
        "membership": _PROMISED,
    },
    "Auditor": {
        "segmentation": " ".join(
            (
                "view_all_customers view_hidden_segment verify_run view_all_jobs view_job",
                "view_accessrecord view_privacyrequest view_draft view_installation view_apikey",
                "view_apikeyuse view_staffscope",
                _WHAT_WE_KNOW, _DEFINED, _RESULTS, _PAST,
            )
        ),
        "membership": f"{_PROMISED} {_PROMISED_PAST}",
        "admin": "view_logentry",
        "auth": "view_user view_group",
        "axes": "view_accessattempt view_accesslog view_accessfailurelog",
        "django_celery_beat": "view_periodictask",
    },
    "Integration": {  # the engineer who connects checkout, app, CRM and warehouse
        "segmentation": " ".join(
            (
                "view_all_customers import_facts request_run view_all_jobs view_job",
                "view_apikey add_apikey change_apikey view_apikeyuse view_installation",
                _WHAT_WE_KNOW, _RESULTS,
            )
        ),
        "membership": _PROMISED,
        "django_celery_beat": "view_periodictask view_crontabschedule view_intervalschedule",
    },
}  # fmt: skip


def make_roles(apps: Any, schema_editor: Any) -> None:
    for label in _APPS:
        config = apps.get_app_config(label)
        config.models_module = True  # permissions are made after all migrations; we need them now
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None
    groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, rights in ROLES.items():
        group, _is_new = groups.objects.get_or_create(name=name)
        for label, codenames in rights.items():
            wanted = set(codenames.split())
            found = permissions.objects.filter(content_type__app_label=label, codename__in=wanted)
            missing = wanted - {row.codename for row in found}
            if missing:
                raise LookupError(f"{name}: no such permission: {label} {sorted(missing)}")
            group.permissions.add(*found)


class Migration(migrations.Migration):
    dependencies = [
        ("membership", "0002_initial"),
        ("segmentation", "0002_desk"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("axes", "0010_accessattemptexpiration"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
