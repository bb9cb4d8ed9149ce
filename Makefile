# `make run` and `make test` set everything up on a new machine with Python 3.11 and make, and again only after a change
# of a lock file, pyproject.toml or the tests' package-lock.json. Other packages in .venv, such as the dependencies of a
# handler, are not removed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
NPM ?= $(shell command -v npm)
BIN := .venv/bin
INSTALLED := .venv/.installed
TEST_INSTALLED := .venv/.installed-test
COMPILED := .venv/.compiled
NODE_INSTALLED := tests/node/node_modules/.installed

INSTALL := $(BIN)/pip install --disable-pip-version-check --no-deps
# Installs the packages of a lock file, and counts those that pip has processed: on a terminal in one line, elsewhere in
# a line for every tenth. The output of pip is shown if it fails.
define install_lock
@{ $(INSTALL) --progress-bar=off -r $(1) 2>.venv/pip.log; echo "ended $$?"; } | { \
	all=$$(grep -c == $(1)); n=0; \
	while read -r word what rest; do \
		case "$$word" in \
		Collecting | Processing | Requirement) \
			n=$$((n + 1)); \
			if [ -t 1 ]; then printf '\r\033[K  %s of %s packages' $$n $$all; \
			elif [ $$((n % 10)) = 0 ]; then echo "  $$n of $$all packages"; fi ;; \
		Installing) \
			if [ -t 1 ]; then printf '\r\033[K'; fi; \
			echo "  $$n of $$all packages downloaded; installing them takes as long again" ;; \
		ended) exit "$$what" ;; \
		esac; \
	done; } || { cat .venv/pip.log >&2; exit 1; }
endef

# A test run starts hundreds of processes, so compiled modules are stored even if the environment disables that.
test check $(COMPILED): export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test ready check lint ruff types imports format install docs lock bench clean

run: $(INSTALLED)
	@exec $(BIN)/router run

# All tests, or those of pytest's options: make test OPTIONS="-x tests/store"
# What comes before the tests runs in parallel, as with --jobs.
test: $(TEST_INSTALLED)
	@$(MAKE) --no-print-directory $(if $(filter -j% --jobs%,$(MAKEFLAGS)),,--jobs=2) ready
	env -u MAKEFLAGS $(BIN)/pytest $(OPTIONS)

# Everything before the tests: their dependencies and the static checks, which may run in parallel.
ready: lint $(COMPILED) $(if $(NPM),$(NODE_INSTALLED),no-npm)

# Compiles router and tests once; otherwise, in a new clone, each process of pytest would compile all of them. Later each
# compiles what was changed, which is little. Errors are ignored here, because the tests report them.
$(COMPILED): $(TEST_INSTALLED)
	@$(BIN)/pytest --collect-only --numprocesses=0 -qq >/dev/null 2>&1 || true
	@touch $@

# Takes less than a minute on two cores: lint, types, import rules, and the tests that start no server.
check: lint
	$(BIN)/pytest -q tests/core tests/architecture

lint: ruff types imports

ruff: $(TEST_INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(TEST_INSTALLED)
	$(BIN)/mypy

imports: $(TEST_INSTALLED)
	$(BIN)/lint-imports

format: $(TEST_INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Installs everything for development: the dependencies of the router and of the tests.
install: $(TEST_INSTALLED)

# The benchmark, or parts of it: make bench PART="intake e2e" OPTIONS="--rounds 3"
bench: $(INSTALLED) $(if $(NPM),$(NODE_INSTALLED))
	$(BIN)/python -m bench $(PART) $(OPTIONS)

# Writes the parts of the README that are derived from the code.
docs: $(TEST_INSTALLED)
	$(BIN)/python -m tests.architecture.readme

# Writes the lock files with the versions that are installed now; installs nothing.
lock:
	$(BIN)/python -m tests.architecture.lock

clean:
	rm -rf .venv tests/node/node_modules

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or later is needed; name it with: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo 'This Python cannot create virtual environments; on Debian: apt-get install python3.11-venv' >&2; exit 1; }
	@echo 'Setting up in .venv, once; it takes about a minute.'
	@$(PYTHON) -m venv .venv
	$(call install_lock,requirements.lock)
	@$(INSTALL) -qq --no-build-isolation -e .
	@touch $@

$(TEST_INSTALLED): requirements-test.lock $(INSTALLED)
	@echo 'Installing the dependencies of the tests.'
	$(call install_lock,requirements-test.lock)
	@touch $@

# The official Node library is one of the clients that the router is tested with.
$(NODE_INSTALLED): tests/node/package-lock.json
	cd tests/node && $(NPM) ci --no-fund --no-audit --loglevel=error
	@touch $@

.PHONY: no-npm
no-npm:
	@if [ -n "$$CI" ]; then echo 'npm is needed: the tests with Node clients must not be skipped in CI' >&2; exit 1; fi
	@echo 'npm is not installed: the tests with Node clients are skipped'
