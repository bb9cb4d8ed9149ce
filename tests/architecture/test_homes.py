"""Each third-party library is imported only by the packages that are listed for it, so that it can be replaced."""

import sys
from functools import cache

import grimp
import pytest

# The modules and packages that may import each library. A library that is missing here fails: add it.
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
# Packages without I/O and without the clock, and the modules in them that may read files.
CORE = ["errors", "message", "flow", "language", "match", "routing", "diagnosis"]
EXCEPT = {"router.language.detector", "router.language.lexicon"}
EDGES = {"asyncio", "gevent", "http", "io", "os", "pathlib", "random", "secrets", "socket", "ssl", "time"}


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("router", include_external_packages=True)


def _importers(library: str) -> set[str]:
    return _graph().find_modules_that_directly_import(library) if library in _graph().modules else set()


def test_every_library_is_listed() -> None:
    """The table above has every library that is imported, and no other."""
    external = {module for module in _graph().modules if not f"{module}.".startswith("router.")}
    assert external - set(sys.stdlib_module_names) - {"router"} == set(HOMES)


@pytest.mark.parametrize(("library", "homes"), HOMES.items())
def test_a_library_is_imported_only_where_it_may_be(library: str, homes: set[str]) -> None:
    """Only the listed packages import a library: Flask in web, redis in store, click in cli."""
    at_home = tuple(f"{home}." for home in homes)
    assert not [module for module in _importers(library) if not f"{module}.".startswith(at_home)]


@pytest.mark.parametrize("name", CORE)
def test_the_core_uses_neither_clock_nor_io(name: str) -> None:
    """The core imports no module for time, randomness or I/O: it gets these values as arguments."""
    modules = {f"router.{name}"} | _graph().find_descendants(f"router.{name}")
    imported = {module: _graph().find_modules_directly_imported_by(module) & EDGES for module in modules - EXCEPT}
    assert not {module: found for module, found in imported.items() if found}
