"""Each third-party library has one home, so that what it does can be changed in one place."""

import sys
from functools import cache

import grimp
import pytest

# Library to the modules and packages that may import it. One that is missing here fails: say where it lives.
HOMES = {
    "babel": {"router.language"},
    "cel": {"router.match"},
    "click": {"router.cli"},
    "flask": {"router.web", "router.app"},
    "gevent": {
        "router.app",
        "router.crew",
        "router.runtime",
        "router.chat",
        "router.delivery",
        "router.handling",
        "router.integrations",
        "router.process",
        "router.store",
        "router.web",
    },
    "greenlet": {"router.handling"},
    "gunicorn": {"router.process"},
    "hiredis": {"router.store"},
    "httptools": {"router.integrations"},
    "jinja2": {"router.web"},
    "jwt": {"router.chat"},
    "lingua": {"router.language"},
    "phonenumbers": {"router.language"},
    "prometheus_client": {"router.metrics", "router.web"},
    "pydantic": {"router.settings"},
    "pyngrok": {"router.cli"},
    "pydantic_core": {"router.settings"},
    "re2": {"router.match"},
    "redis": {"router.store"},
    "rich": {"router.cli"},
    "structlog": {"router.log"},
    "twilio": {"router.twilio_api", "router.handling"},
    "werkzeug": {"router.web", "router.app"},
    "wordfreq": {"router.language"},
}
# Packages that do no I/O and never ask the clock, and the modules in them that read files all the same.
CORE = ["errors", "message", "flow", "language", "match", "routing", "diagnosis"]
EXCEPT = {"router.language.detector", "router.language.lexicon"}
EDGES = {"asyncio", "gevent", "http", "io", "os", "pathlib", "random", "secrets", "socket", "ssl", "time"}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("router", include_external_packages=True)


def _importers(library: str) -> set[str]:
    return _graph().find_modules_that_directly_import(library) if library in _graph().modules else set()


def test_every_library_has_a_home() -> None:
    """A library that is imported anywhere is in the table above, and the table has no library that is not imported."""
    external = {module for module in _graph().modules if not f"{module}.".startswith("router.")}
    assert external - set(sys.stdlib_module_names) - {"router"} == set(HOMES)


@pytest.mark.parametrize(("library", "homes"), HOMES.items())
def test_a_library_is_imported_at_home_only(library: str, homes: set[str]) -> None:
    """Flask is web, redis is store, click is cli: the rest of the house does not know them."""
    at_home = tuple(f"{home}." for home in homes)
    assert not [module for module in _importers(library) if not f"{module}.".startswith(at_home)]


@pytest.mark.parametrize("name", CORE)
def test_the_core_asks_neither_clock_nor_world(name: str) -> None:
    """Time and chance come in as arguments, so that what the core decides can be tested and explained."""
    modules = {f"router.{name}"} | _graph().find_descendants(f"router.{name}")
    imported = {module: _graph().find_modules_directly_imported_by(module) & EDGES for module in modules - EXCEPT}
    assert not {module: found for module, found in imported.items() if found}
