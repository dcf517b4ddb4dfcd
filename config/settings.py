"""All settings, from the environment (docs/settings.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django_stubs_ext

from . import broker, database, env, fixed, secret_files
from .logging import configuration, set_up_structlog
from .security import POLICY
from .unfold import UNFOLD as UNFOLD

django_stubs_ext.monkeypatch()  # Django's classes take type arguments, as annotated

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = env.folder("VAR_DIR", BASE_DIR / "var")
DEBUG = env.boolean("DEBUG", False)
TESTING = env.boolean("TIERWISE_TESTING", False)  # set by tests/settings.py alone
IS_SERVING = database.is_serving(sys.argv)

# Database, and what was fixed when it was set up ------------------------------------------------
# What was asked for, "" or None where nothing was: `manage.py setup` stores it.
WANTED = fixed.Wanted(
    time_zone=env.zone("TIME_ZONE", ""),
    base_currency=env.currency("BASE_CURRENCY", ""),
    clock_start=env.instant("CLOCK_START"),
)
DATABASE_URL = env.text("DATABASE_URL")
EMBEDDED = None if DATABASE_URL else database.embedded(VAR_DIR, durable=not TESTING)
_is_open = database.is_needed(sys.argv)
DATABASES = {"default": database.entry(DATABASE_URL, cluster=EMBEDDED, is_open=_is_open)}
FIXED = fixed.read(DATABASES["default"]) if _is_open and not TESTING else None
if FIXED and not database.is_setting_up(sys.argv):
    fixed.refuse_differences(FIXED, WANTED)
# Only the embedded database is set up on the way, by `serve` itself.
if IS_SERVING and _is_open and not TESTING and (DATABASE_URL or database.command(sys.argv) is None):
    fixed.require(FIXED)
TIME_ZONE = FIXED.time_zone if FIXED else WANTED.time_zone or "Asia/Shanghai"
BASE_CURRENCY = FIXED.base_currency if FIXED else WANTED.base_currency or "CNY"
CLOCK_START = FIXED.clock_start if FIXED else WANTED.clock_start
ENGINE_URL = env.text("ENGINE_URL", "duckdb://")
ENGINE_MEMORY = env.size("ENGINE_MEMORY", "3GB")  # of one run; what does not fit goes to disk
ENGINE_THREADS = env.positive("ENGINE_THREADS", os.cpu_count() or 2)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Web ----------------------------------------------------------------------------------------------
SECRET_KEY = secret_files.signing_key(
    var_dir=VAR_DIR,
    is_embedded=EMBEDDED is not None and _is_open,
    may_store=DEBUG or TESTING or database.command(sys.argv) == "demo",
    is_serving=IS_SERVING,
)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]", ".localhost"])
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [])
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "pgtrigger",
    "pghistory",
    "axes",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "config",
    "segmentation",
    "membership",
]
MIDDLEWARE = [
    "config.proxies.TrustedProxies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.security.AdminContentPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "config.second_factor.SecondFactor",
    "config.acting.ActingMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "config.security.UnstorableInput",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.clock.banner",
            ]
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = env.text("STATIC_ROOT") or None  # for collectstatic, where a proxy serves it
STATICFILES_DIRS = [folder for folder in [BASE_DIR / "static"] if folder.is_dir()]
WHITENOISE_USE_FINDERS = True  # straight from the packages: no step to forget
WHITENOISE_AUTOREFRESH = DEBUG
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "config.lockout.locked_out"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the page says how long it takes
AXES_ENABLE_ACCESS_FAILURE_LOG = True
AXES_RESET_ON_SUCCESS = True
AXES_ENABLED = not TESTING
AXES_VERBOSE = False
# Who publishes or sees hidden data needs a second factor; sample data on a sample clock does not.
SECOND_FACTOR = env.choice(
    "SECOND_FACTOR",
    "optional" if CLOCK_START else "required",
    known=("required", "optional"),
)
OTP_TOTP_ISSUER = "Tierwise"
SESSION_COOKIE_NAME = "tierwise_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_NAME = "tierwise_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
# Behind a proxy that speaks HTTPS; on the loopback interface browsers would lose the cookies.
HTTPS = env.boolean("HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Proxies in front; theirs alone is the word about a client's address and about HTTPS.
_loopback = ["127.0.0.0/8", "::1", "unix"] if HTTPS else []
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES", _loopback)
TRUSTS_UNIX_SOCKET = "unix" in env.words("TRUSTED_PROXIES", _loopback)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = POLICY
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024  # 5,000 rows of a bulk request
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
FILE_UPLOAD_PERMISSIONS = 0o600
CACHES = {
    # Shared by the web processes without another server: throttles count across them.
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache"
        if TESTING
        else "config.cache.CountingDatabaseCache",
        "LOCATION": "cache_entry",
    }
}

# Language and time --------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "config.formats"
USE_TZ = True

# API ----------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["segmentation.api.authentication.ApiKeyAuthentication"],
    "EXCEPTION_HANDLER": "segmentation.api.errors.exception_handler",
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REVEAL_DAILY_LIMIT = env.integer("REVEAL_DAILY_LIMIT", 20)  # of one person within 24 hours
API_THROTTLE_RATE = env.rate("API_THROTTLE_RATE", "6000/minute")  # of one key
SPECTACULAR_SETTINGS = {
    "TITLE": "Tierwise",
    "DESCRIPTION": "Membership programs for retailers: facts in, members and segments out. "
    "Errors are `{code, message, details: [{path, code, message}]}`, all problems at once.",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {  # fields of one name with different values
        "RunStatus": "segmentation.models.runs.Run.Status",
        "ReceiptStatus": [(word, word) for word in ("done", "pending", "failed")],
        "AnsweringStatus": [(word, word) for word in ("published", "historical")],
        "TroubleStatus": [(word, word) for word in ("queued", "held", "failed")],
        "RowStatus": [(word, word) for word in ("inserted", "unchanged", "updated", "rejected")],
        "PrivacyKind": "segmentation.models.audit.PrivacyRequest.Kind",
        "TransitionKind": "membership.models.programs.Transition.Kind",
    },
}

# History: statement level, append-only (architecture.md 15) ---------------------------------------
PGHISTORY_APPEND_ONLY = True
PGHISTORY_MIDDLEWARE_METHODS = ("POST", "PUT", "PATCH", "DELETE")

# Celery: the broker carries wake-ups only ---------------------------------------------------------
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL") or f"{broker.ALIAS}://localhost/"
if CELERY_BROKER_URL.startswith(f"{broker.ALIAS}://"):
    CELERY_BROKER_TRANSPORT_OPTIONS = broker.options(VAR_DIR / "broker")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "membership.tasks.execute_due_runs": {"queue": "runs"},
    "membership.tasks.recompute_daily": {"queue": "runs"},
}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "config.beat:ProjectScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
DJANGO_CELERY_BEAT_TZ_AWARE = True

# Messages to people: alerts -----------------------------------------------------------------------
# Where browsers find this installation, for links in messages; without it they have none.
PUBLIC_URL = env.web_address("PUBLIC_URL")
_mail = env.mail("EMAIL_URL")  # without it no e-mail goes out, and who sends one is told
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.is_tls, _mail.is_starttls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "tierwise@localhost")
# Hosts that webhooks may reach although they are private or speak HTTP.
ALERT_INTERNAL_HOSTS = env.words("ALERT_INTERNAL_HOSTS", [])

# Logging ------------------------------------------------------------------------------------------
LOG_LEVEL = env.choice(
    "LOG_LEVEL",
    "INFO" if IS_SERVING else "WARNING",
    known=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
)
LOGGING = configuration(level=LOG_LEVEL)
set_up_structlog()
