"""The router that web tests share: one for each pytest worker, emptied for each file."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.world import World
from tests.valkey import ValkeyServer
from tests.web.accounts import CONFIG
from tests.web.console import CONSOLE, Person, signed_in
from tests.web.rest import Rest, rest_over

# Keys that the router's process writes at its start or periodically.
_OF_THE_PROCESS: Final = (b"accounts:", b"alive:", b"processes:", b"served:", b"upkeep:")


@pytest.fixture(scope="module", autouse=True)
def _as_without_authorities(no_authorities: None) -> None:
    """Make applications without reading the system's certificate authorities."""


@pytest.fixture(scope="session")
def _session_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One router with a console for each pytest worker."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, config=CONSOLE + CONFIG)
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def world(_session_world: World) -> World:
    """A router with a console, without the flows and messages of other files."""
    every: list[bytes] = _session_world.call("KEYS", "*")
    if left := [key for key in every if not key.startswith(_OF_THE_PROCESS)]:
        _session_world.call("DEL", *left)
    return _session_world


@pytest.fixture(scope="module")
def admin(world: World) -> Person:
    """A person signed in to the console as admin."""
    return signed_in(world)


@pytest.fixture(scope="module")
def _rest_of_the_file(_session_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with rest_over(_session_valkey, tmp_path_factory.mktemp("rest")) as made:
        yield made


@pytest.fixture
def rest(_rest_of_the_file: Rest, valkey: ValkeyServer) -> Rest:  # noqa: ARG001 - it empties the store
    """The file's one application over an empty store; a new one for each test would take 40 ms."""
    return _rest_of_the_file
