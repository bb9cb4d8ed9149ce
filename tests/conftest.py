"""What all tests share: a real Valkey for each pytest worker, and fixed bounds for property tests."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.e2e.forked import close_forker
from tests.valkey import ValkeyServer

# The longest files run first: at the end, one of them would run alone. Files that keep the cores busy and files that
# mostly wait alternate, so that no test reaches its time limit because the cores are busy.
_LONG = (
    "tests/e2e/test_run.py",
    "tests/bench/test_parts.py",
    "tests/browser/test_widget.py",
    "tests/e2e/test_targets.py",
    "tests/e2e/test_sentinel.py",
    "tests/browser/test_console.py",
    "tests/e2e/test_local_testing.py",
    "tests/e2e/test_languages.py",
    "tests/web/test_store_away.py",
    "tests/e2e/test_crash.py",
    "tests/e2e/test_gunicorn.py",
    "tests/integrations/test_handling.py",
    "tests/e2e/test_make.py",
    "tests/e2e/test_package.py",
    "tests/e2e/test_doctor.py",
    "tests/e2e/test_handlers_page.py",
    "tests/e2e/test_journey.py",
    "tests/store/test_lane_protocol.py",
)
_NODE_MODULES = Path(__file__).parent / "node" / "node_modules"

# The suite tries the same examples in every run; HYPOTHESIS_PROFILE=search, by hand, tries many more.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=100)
# For tests that run with all examples elsewhere in the same run.
hypothesis.settings.register_profile("short", deadline=None, derandomize=True, database=None, max_examples=10)
hypothesis.settings.register_profile("search", deadline=None, max_examples=5000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


# A shell's background job ignores SIGINT, and processes that tests start and end by SIGINT would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Imported modules and collected tests live until the end; the garbage collector need not check them again and again.
gc.disable()


def pytest_collection_finish() -> None:
    """Let the garbage collector check only what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first; the order within and after them stays."""
    order = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


@pytest.fixture(scope="session", autouse=True)
def _forker_ends() -> Iterator[None]:
    """End the process that is forked for routers after those who forked it."""
    yield
    close_forker()


@pytest.fixture(scope="session")
def _session_valkey() -> Iterator[ValkeyServer]:
    """One server for each pytest worker; a test uses `valkey`, which is empty."""
    server = ValkeyServer()
    yield server
    server.close()


@pytest.fixture
def valkey(_session_valkey: ValkeyServer) -> ValkeyServer:
    """An empty store, shared with the worker's other tests: it may not be killed, paused or filled."""
    _session_valkey.flush()
    return _session_valkey


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    """The URL of the empty store."""
    return valkey.url


@pytest.fixture
def spare_valkey() -> Iterator[Callable[..., ValkeyServer]]:
    """A maker of stores for this test alone, which may be killed, paused or filled: `spare_valkey(maxmemory="4mb")`."""
    servers: list[ValkeyServer] = []

    def make(**options: str) -> ValkeyServer:
        servers.append(ValkeyServer(**options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder for NODE_PATH with Twilio's Node library; `make test` installs it if npm is there."""
    if not _NODE_MODULES.is_dir():
        if os.environ.get("CI"):
            pytest.fail("the Node clients are not installed, and CI may not leave their tests out; run `make test`")
        pytest.skip("npm is not installed")
    return _NODE_MODULES


@pytest.fixture(scope="module")
def no_authorities() -> Iterator[None]:
    """Trust no certificate authority, as reading the system's takes each application and set of senders 30 ms.

    It is for one module only, because installing packages needs them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        yield
