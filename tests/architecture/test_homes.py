"""Each third-party library has one home, so that what it does can be changed in one place."""

import sys
from functools import cache

import grimp
import pytest

# Library to the modules and packages that may import it. One that is missing here fails: say where it lives.
HOMES = {
    "click": {"router.cli"},
    "flask": {"router.web", "router.app"},
    "gevent": {"router.app", "router.delivery", "router.integrations", "router.store", "router.web"},
    "hiredis": {"router.store"},
    "httptools": {"router.integrations"},
    "prometheus_client": {"router.metrics", "router.web"},
    "pydantic": {"router.settings"},
    "pydantic_core": {"router.settings"},
    "redis": {"router.store"},
    "rich": {"router.cli"},
    "structlog": {"router.log"},
    "twilio": {"router.integrations"},
    "werkzeug": {"router.web", "router.app"},
}
# The core does no I/O and never asks the clock.
CORE = ["address", "answer", "errors", "flow", "message", "parameter", "routing", "signature"]
EDGES = {"asyncio", "gevent", "http", "io", "os", "pathlib", "random", "secrets", "socket", "ssl", "time"}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("router", include_external_packages=True)


def _external() -> set[str]:
    ours = {module for module in _graph().modules if module == "router" or module.startswith("router.")}
    return _graph().modules - ours


def test_every_library_has_a_home() -> None:
    """A library that is imported anywhere is in the table above, and nothing is there that nobody imports."""
    assert _external() - set(sys.stdlib_module_names) - {"__future__"} == set(HOMES)


@pytest.mark.parametrize(("library", "homes"), HOMES.items())
def test_a_library_is_imported_at_home_only(library: str, homes: set[str]) -> None:
    """Flask is web, redis is store, click is cli: the rest of the house does not know them."""
    importers = _graph().find_modules_that_directly_import(library) if library in _external() else set()
    assert not [module for module in importers if not any(f"{module}.".startswith(f"{home}.") for home in homes)]


@pytest.mark.parametrize("name", CORE)
def test_the_core_asks_neither_clock_nor_world(name: str) -> None:
    """Time and chance come in as arguments, so that what the core decides can be tested and explained."""
    assert not _graph().find_modules_directly_imported_by(f"router.{name}") & EDGES
