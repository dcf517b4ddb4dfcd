# Every verb does its own set-up and is safe to run again. Variables: PORT, DATABASE_URL,
# CELERY_BROKER_URL, ENGINE_URL, TIME_ZONE, BASE_CURRENCY, VAR_DIR, CLOCK_START (docs/settings.md).
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
PYTHON_OF_VENV := .venv/bin/python
MANAGE := $(PYTHON_OF_VENV) manage.py
SERVE ?= 1
PYTEST ?=

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r verb does; do \
		printf '  make %-14s %s\n' "$$verb" "$$does"; done

.PHONY: environment developer
environment:
	@./.ci/environment requirements.txt
	@$(PYTHON_OF_VENV) -m config.messages

developer:
	@./.ci/environment requirements-dev.txt
	@$(PYTHON_OF_VENV) -m config.messages

.PHONY: setup
setup: environment ## set up alone: packages, database, tables
	@$(MANAGE) setup

.PHONY: demo
demo: environment ## real sample data, a summary, then everything served until Ctrl-C (SERVE=0: not)
	@$(MANAGE) demo $(if $(filter 0,$(SERVE)),--no-serve)

.PHONY: run
run: setup ## serve without demo data until Ctrl-C
	@$(MANAGE) serve

.PHONY: shell
shell: setup ## Django's shell
	@$(MANAGE) shell

.PHONY: stop
stop: environment ## stop the services and the embedded database of this checkout
	@$(MANAGE) stop

.PHONY: clean
clean: ## remove the environment and all embedded data
	@if [ -x $(PYTHON_OF_VENV) ]; then $(MANAGE) clean; \
		elif [ -e "$${VAR_DIR:-var}/instance" ]; then ./.ci/environment requirements.txt && $(MANAGE) clean; fi
	@rm -rf .venv .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find locale -name '*.mo' -delete

.PHONY: test
test: developer ## all tests that need nothing but this machine
	@$(PYTHON_OF_VENV) -m pytest -n auto --maxprocesses 4 --dist loadfile \
		-m "not services and not browser" $(PYTEST)

.PHONY: test-parity
test-parity: developer ## oracle, engine and instant path on more than 10,000 generated cases
	@PARITY_EXAMPLES=1500 $(PYTHON_OF_VENV) -m pytest -n auto --maxprocesses 4 \
		tests/property/test_engine_oracle.py tests/property/test_instant_parity.py $(PYTEST)

.PHONY: test-services
test-services: developer ## tests with Debian's PostgreSQL, Redis and RabbitMQ
	@$(PYTHON_OF_VENV) -m tests.services.run $(PYTEST)

.PHONY: test-browser
test-browser: developer ## tests with Chromium
	@./.ci/chromium
	@$(PYTHON_OF_VENV) -m pytest -m browser $(PYTEST)

.PHONY: screenshots
screenshots: developer ## pictures of the main pages in both languages into docs/images (URL=: of a served demo)
	@./.ci/chromium
	@URL="$(URL)" $(PYTHON_OF_VENV) -m tests.browser.screenshots

.PHONY: lint
lint: developer ## checks of style, types, imports, migrations and translations
	@$(PYTHON_OF_VENV) -m ruff check .
	@$(PYTHON_OF_VENV) -m ruff format --check .
	@$(PYTHON_OF_VENV) -m mypy .
	@$(PYTHON_OF_VENV) -m pytest -q tests/architecture
	@$(PYTHON_OF_VENV) -m config.messages --check
	@$(PYTHON_OF_VENV) -m pip check --disable-pip-version-check

.PHONY: bench
bench: developer ## benchmark tables (SIZE=full, the default; SIZE=quick: small ones)
	@SIZE=$(SIZE) $(PYTHON_OF_VENV) bench/run.py

.PHONY: stress
stress: developer ## contention test
	@$(PYTHON_OF_VENV) -m pytest tests/concurrency $(PYTEST)

.PHONY: backup
backup: environment ## everything that must survive, into FILE
	@test -n "$(FILE)" || { echo "Say where to: make backup FILE=tierwise.backup" >&2; exit 2; }
	@$(MANAGE) backup "$(FILE)"

.PHONY: restore
restore: environment ## FILE back into this installation (REPLACE=1: over existing data)
	@test -n "$(FILE)" || { echo "Say from where: make restore FILE=tierwise.backup" >&2; exit 2; }
	@$(MANAGE) restore "$(FILE)" $(if $(filter 1,$(REPLACE)),--replace)
