# `make run` and `make test` do all set-up on a fresh machine with Python 3.11 and make, and again only when a lock,
# pyproject.toml or the tests' package-lock.json changed. What else is installed in .venv, as a handler's dependencies,
# stays there.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
NPM ?= $(shell command -v npm)
BIN := .venv/bin
INSTALLED := .venv/.installed
TEST_INSTALLED := .venv/.installed-test
NODE_INSTALLED := tests/node/node_modules/.installed

INSTALL := $(BIN)/pip install --disable-pip-version-check --no-deps
# Installs what a lock names, and counts the packages that pip takes up: on a terminal in one line, elsewhere in a line
# for every tenth. What pip says is shown when it fails.
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
			echo "  $$n of $$all packages are here; unpacking them takes as long again" ;; \
		ended) exit "$$what" ;; \
		esac; \
	done; } || { cat .venv/pip.log >&2; exit 1; }
endef

# Hundreds of processes start in a run of the tests: compiled modules are kept, also where the environment asks for none.
test check compiled: export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test ready check lint ruff types imports format install docs lock bench clean

run: $(INSTALLED)
	@exec $(BIN)/router run

# Everything, or as pytest is told: make test OPTIONS="-x tests/store"
test: ready
	env -u MAKEFLAGS $(BIN)/pytest $(OPTIONS)

# All that comes before the tests: what they need, and what looks at the code; its parts may run beside each other.
ready: lint compiled $(if $(NPM),$(NODE_INSTALLED),no-npm)

# Router and tests are compiled once: in a fresh clone each process of pytest would compile them all. What fails here fails
# in the tests, which say why.
.PHONY: compiled
compiled: $(TEST_INSTALLED)
	@$(BIN)/pytest --collect-only --numprocesses=0 -qq >/dev/null 2>&1 || true

# Within a minute, on two cores: lint, types, import rules, and the tests that start no server.
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

# Everything for working on the router: what it runs with, and what it is tested with.
install: $(TEST_INSTALLED)

# The benchmark, or parts of it: make bench PART="intake e2e" OPTIONS="--rounds 3"
bench: $(INSTALLED) $(if $(NPM),$(NODE_INSTALLED))
	$(BIN)/python -m bench $(PART) $(OPTIONS)

# Writes the parts of the README that are derived from the code.
docs: $(TEST_INSTALLED)
	$(BIN)/python -m tests.architecture.readme

# Writes the locks, with the versions that are installed now: nothing is installed before.
lock:
	$(BIN)/python -m tests.architecture.lock

clean:
	rm -rf .venv tests/node/node_modules

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or later is needed; name it with: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo 'This Python cannot make virtual environments; on Debian: apt-get install python3.11-venv' >&2; exit 1; }
	@echo 'Setting up in .venv, once; it takes about a minute.'
	@$(PYTHON) -m venv .venv
	$(call install_lock,requirements.lock)
	@$(INSTALL) -qq --no-build-isolation -e .
	@touch $@

$(TEST_INSTALLED): requirements-test.lock $(INSTALLED)
	@echo 'Adding what the tests need.'
	$(call install_lock,requirements-test.lock)
	@touch $@

# The official Node library is one of the clients that the router is tested with.
$(NODE_INSTALLED): tests/node/package-lock.json
	cd tests/node && $(NPM) ci --no-fund --no-audit --loglevel=error
	@touch $@

.PHONY: no-npm
no-npm:
	@if [ -n "$$CI" ]; then echo 'npm is needed: the tests with Node clients may not be left out in CI' >&2; exit 1; fi
	@echo 'npm is not installed: the tests with Node clients are left out'
