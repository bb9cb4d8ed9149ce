"""Models of languages: loaded before the workers are forked, for the languages that flows name, and on a reload."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.store.client import Client
from router.store.flows import FlowStore
from tests.core.flows import flow
from tests.e2e.running import ROUTER
from tests.e2e.service import ACCOUNT, OURS, ROOT, TOKEN, Service, parameters
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

# What the process that forks the workers does, and what it knows then.
_PRELOAD = """
import json, os, sys
from router.process.preload import preload
from router.settings import load
said = []
preload(load(os.environ), said.append)
lingua = sys.modules.get("router.language.detector")
print(json.dumps({
    "said": said,
    "loaded": sorted(lingua.shared().loaded) if lingua else None,
    "modules": [name for name in ("redis", "ssl", "urllib3") if name in sys.modules],
    "threads": len(os.listdir("/proc/self/task")),
}))
"""


@pytest.fixture
def store(valkey: ValkeyServer) -> Iterator[FlowStore]:
    """An empty store."""
    made = FlowStore(Client(valkey.url))
    yield made
    made.close()


def _flow(number: int, *languages: str) -> FlexFlow:
    made = flow(ContactIdentity=OURS, sid=f"FO{number:032x}")
    return replace(made, account_sid=ACCOUNT, language=languages, paused=True)


def _preloaded(redis_url: str) -> dict[str, object]:
    environ = {"ROUTER_REDIS_URL": redis_url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ROUTER_", "TWILIO_"))}
    done = subprocess.run(
        [sys.executable, "-c", _PRELOAD], cwd=ROOT, env=clean | environ, check=True, capture_output=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_nothing_is_loaded_where_no_flow_names_a_language(redis_url: str) -> None:
    """Who routes by address alone spends neither time nor memory: the library is not even imported."""
    assert _preloaded(redis_url) == {"said": [], "loaded": None, "modules": [], "threads": 1}


def test_what_flows_name_is_loaded(redis_url: str, store: FlowStore) -> None:
    """With its background, by a process that learns of no socket library and starts no thread: it forks afterwards."""
    store.put(_flow(1, "th"))
    store.put(_flow(2, "uk", "gsw"))
    found = _preloaded(redis_url)
    assert found == {"said": [], "loaded": ["bg", "ru", "th", "uk"], "modules": [], "threads": 1}


def test_a_start_says_which_flows_lose_their_messages(redis_url: str, store: FlowStore) -> None:
    """A flow whose handler the settings lack is in the log before the first message is; a disabled one is not."""
    lost = replace(_flow(1), integration=Integration("handler", handler="gone"))
    store.put(lost)
    store.put(replace(lost, sid=f"FO{2:032x}", enabled=False))
    (said,) = cast("list[str]", _preloaded(redis_url)["said"])
    assert f"(FO{1:032x}) names the handler 'gone', which the settings lack" in said


def test_a_store_that_is_away_keeps_nothing_from_starting() -> None:
    """The router starts all the same, and says what it cannot do until a reload."""
    found = _preloaded("redis://127.0.0.1:1")
    assert found["loaded"] is None
    assert "kill -HUP" in str(found["said"])


def test_a_language_is_added_while_the_router_runs(tmp_path: Path, valkey: ValkeyServer, store: FlowStore) -> None:
    """At once it is told by what the channel says, after a reload by the text too; until then people are told so."""
    store.put(_flow(1))
    service = Service(tmp_path, valkey.url, workers=1)
    try:
        store.put(_flow(2, "uk"))
        store.put(_flow(3, "bg"))
        ukrainian = "Доброго дня, чи можна замовити столик на вечір?"
        assert _goes_to(service, 1, Body=ukrainian) == f"FO{1:032x}"
        assert _goes_to(service, 2, "?lang=uk", Body="ok") == f"FO{2:032x}"
        assert "bg, uk by now" in _doctor(service)
        old = service.workers()
        assert service.process
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: (now := service.workers()) and not set(now) & set(old), what="the workers are new")
        assert _goes_to(service, 3, Body=ukrainian) == f"FO{2:032x}"
        assert "by now" not in _doctor(service)
    finally:
        service.close()


def _goes_to(service: Service, number: int, query: str = "", **fields: str) -> str:
    """Have a new customer write; return the SID of the flow that the message goes to."""
    message = parameters(number, f"messenger-{number}", **fields) | {"FromCountry": ""}
    status, _, _ = service.webhook(message, f"/webhooks/sms{query}")
    assert status == 200
    found: str = service.json(f"/v1/Deliveries/{message['MessageSid']}")["flex_flow_sid"]
    return found


def _doctor(service: Service) -> str:
    environ = os.environ | {"ROUTER_CONFIG": str(service.folder / "router.toml")}
    return subprocess.run(
        [ROUTER, "doctor", "--offline"], env=environ, capture_output=True, text=True, check=False
    ).stdout
