"""The router that the web tests of one file share."""

from collections.abc import Iterator

import pytest

from tests.e2e.world import World
from tests.valkey import ValkeyServer
from tests.web.accounts import CONFIG
from tests.web.console import CONSOLE, Person, signed_in


@pytest.fixture(scope="module", autouse=True)
def _as_without_authorities(no_authorities: None) -> None:
    """Make applications quickly."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One router with a console for all of this file; nothing routes to anywhere unless a test says so."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, config=CONSOLE + CONFIG)
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def admin(world: World) -> Person:
    """A person at the console who may do everything."""
    return signed_in(world)
