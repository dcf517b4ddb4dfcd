from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from membership.admin import verification
from segmentation.admin import portrait
from segmentation.api.views import UnknownEndpoint

from . import health, search, second_factor

# Whatever else is below /api/v1/ is refused as a document, not as a page.
_unknown_api = [re_path("^api/v1/", UnknownEndpoint.as_view())]
urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    *second_factor.URLS,
    *portrait.URLS,
    *verification.URLS,
    *search.URLS,
    path("admin/", admin.site.urls),
    path("api/v1/", include("segmentation.api.urls")),
    path("api/v1/", include("membership.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    *_unknown_api,
    path("i18n/", include("django.conf.urls.i18n")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
