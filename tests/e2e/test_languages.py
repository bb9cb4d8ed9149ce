"""Language models: loaded before the workers are forked, for the languages that flows name, at start and later."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.process.preload import FOUND
from router.store.client import Client
from router.store.flows import FlowStore
from router.store.processes import Processes
from tests.core.flows import flow
from tests.e2e.commands import invoke
from tests.e2e.running import ROUTER, clean_environ
from tests.e2e.service import ACCOUNT, OURS, ROOT, TOKEN, Service, parameters
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

# Preloads as the process that forks the workers does; prints what it has loaded then, and what its child imports.
_PRELOAD = """
import json, os, sys
from router.process.fork import in_child
from router.process.preload import FOUND, _found, preload
from router.settings import load
log, settings = [], load(os.environ)
preload(settings, log.append, os.environ.pop(FOUND, ""))
lingua = sys.modules.get("router.language.detector")
print(json.dumps({
    "log": log,
    "loaded": sorted(lingua.shared().loaded) if lingua else None,
    "modules": [name for name in ("redis", "ssl", "urllib3") if name in sys.modules],
    "threads": len(os.listdir("/proc/self/task")),
    "imports flows": in_child(lambda: str((_found(settings), "router.flow.flex_flow" in sys.modules)[1]), seconds=5),
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


def _preloaded(redis_url: str, found_in_store: str = "") -> dict[str, object]:
    environ = {"ROUTER_REDIS_URL": redis_url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
    environ[FOUND] = found_in_store
    done = subprocess.run(
        [sys.executable, "-c", _PRELOAD], cwd=ROOT, env=clean_environ(**environ), check=True, capture_output=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_nothing_is_loaded_where_no_flow_names_a_language(redis_url: str) -> None:
    """If no flow names a language, the detection library is not imported."""
    found = _preloaded(redis_url)
    assert found == {"log": [], "loaded": None, "modules": [], "threads": 1, "imports flows": "False"}


def test_the_languages_of_flows_are_loaded(redis_url: str, store: FlowStore) -> None:
    """The process that forks loads the models of the flows' languages, without a socket library and without threads."""
    store.put(_flow(1, "th"))
    store.put(_flow(2, "hi", "gsw"))
    found = _preloaded(redis_url)
    assert found == {"log": [], "loaded": ["hi", "mr"], "modules": [], "threads": 1, "imports flows": "True"}


def test_flows_without_their_handler_are_logged_at_start(redis_url: str, store: FlowStore) -> None:
    """At its start the router logs each enabled flow whose handler is not in the settings."""
    lost = replace(_flow(1), paused=False, integration=Integration("handler", handler="gone"))
    store.put(lost)
    store.put(replace(lost, sid=f"FO{2:032x}", enabled=False))
    (line,) = cast("list[str]", _preloaded(redis_url)["log"])
    assert f"(FO{1:032x}) names the handler 'gone', which the settings lack" in line


def test_the_router_starts_without_its_store() -> None:
    """If the store is away, the router starts, and logs that it does not know the languages of flows."""
    found = _preloaded("redis://127.0.0.1:1")
    assert found["loaded"] is None
    assert "the store does not say which languages flows name" in str(found["log"])


def test_gunicorn_uses_what_router_run_found_in_the_store() -> None:
    """Gunicorn loads the languages and logs the faults that `router run` passes on, without asking the store again."""
    found = _preloaded("redis://127.0.0.1:1", json.dumps({"languages": ["hi"], "faults": ["a flow is lost"]}))
    assert (found["loaded"], found["log"]) == (["hi", "mr"], ["a flow is lost"])


# Hindi: its models load in a seventh of the time that those of a Cyrillic or Latin language take.
HINDI = "नमस्ते, क्या मैं आज शाम के लिए एक टेबल बुक कर सकता हूँ?"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start routers, each as on a machine of its own; all are ended after the test."""
    services: list[Service] = []

    def started(redis_url: str, *, workers: int = 1, **environ: str) -> Service:
        folder = tmp_path / str(len(services))
        folder.mkdir()
        services.append(Service(folder, redis_url, workers=workers, **environ))
        return services[-1]

    yield started
    for service in services:
        service.close()


@pytest.fixture
def processes(valkey: ValkeyServer) -> Processes:
    """The list of the processes that have registered."""
    return Processes(Client(valkey.url))


def _until_read(processes: Processes, *tags: str, by: int) -> list[int]:
    """Wait until exactly so many processes run, and all can read a language; return how many ran at each check."""
    counts: list[int] = []

    def read() -> bool:
        present = processes.serving(ACCOUNT)
        counts.append(len(present))
        return len(present) == by and all(each.reads(tags) for each in present)

    wait_until(read, what=f"texts in {tags} are read", within=60)
    return counts


class Customers(threading.Thread):
    """Send one message after the other until `stop`, and keep the answers."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self.answers: list[int] = []
        self._service = service
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send the messages."""
        while not self._stopped.wait(0.03):  # slow enough to leave the cores to the routers
            number = 1000 + len(self.answers)
            self.answers.append(self._service.webhook(parameters(number, f"messenger-{number}"))[0])

    def stop(self) -> list[int]:
        """Return the status of each answer."""
        self._stopped.set()
        self.join()
        return self.answers


def test_a_language_is_read_without_a_reload(
    start: Callable[..., Service], valkey: ValkeyServer, store: FlowStore, processes: Processes
) -> None:
    """Workers are replaced one by one for a new language: the number that serve stays, and no attempt is cut short."""
    free = threading.Event()
    with Target() as target:
        target.script["/slow"] = lambda caller: free.wait(60) and answer()(caller)
        store.put(_flow(1))
        slow = replace(_flow(3), paused=False, contact_identity="+15550000009", response="accept")
        store.put(replace(slow, integration=Integration("external", url=target.url("/slow"))))
        service = start(valkey.url, workers=2, ROUTER_LEASE_SECONDS="90")  # an attempt may take 82 s
        _until_read(processes, by=2)
        old = service.workers()
        attempted = parameters(2, "+15550000002", To="+15550000009")
        assert service.webhook(attempted)[0] == 200
        wait_until(lambda: target.requests, what="the target is asked")
        customers = Customers(service)
        customers.start()
        store.put(_flow(2, "hi"))
        assert min(_until_read(processes, "hi", by=2)) == 2
        assert set(customers.stop()) == {200}
        assert set(service.workers()) & set(old), "one of them has an attempt under way"
        free.set()
        for number in range(10, 16):
            assert _goes_to(service, number, Body=HINDI) == f"FO{2:032x}"
        wait_until(lambda: not set(service.workers()) & set(old), what="all workers are new", within=40)
        delivery = service.json(f"/v1/Deliveries/{attempted['MessageSid']}")
        assert (delivery["status"], delivery["attempts"], len(target.requests)) == ("delivered", 1, 1)


def test_apply_waits_until_all_processes_read_a_new_language(
    start: Callable[..., Service], valkey: ValkeyServer, store: FlowStore, processes: Processes
) -> None:
    """When `flows apply` prints "from now on", the processes of all machines route texts in the new language."""
    store.put(_flow(1))
    services = [start(valkey.url) for _ in range(2)]
    _until_read(processes, by=2)
    here = {"ROUTER_CONFIG": str(services[0].folder / "router.toml"), "ROUTER_DATA_DIR": str(services[0].folder)}
    applied = invoke("flows", "apply", "-", given=FILE.format("Hindi", "hi"), **here)
    assert "Texts in hi are read from now on, by all 2 processes." in applied.output
    pids = {each.pid for each in processes.present()}
    again = invoke("flows", "apply", "-", given=FILE.format("Japanese", "ja"), **here)
    assert "Texts in ja are read from now on, by all 2 processes." in again.output
    flows = {flow.friendly_name: flow.sid for flow in store.page(ACCOUNT, 0, 10)}
    for number, service in enumerate(services, 1):
        assert _goes_to(service, number, Body=HINDI) == flows["Hindi"]
        assert _goes_to(service, number + 10, Body="注文の状況を教えてください") == flows["Japanese"]
    assert {each.pid for each in processes.present()} == pids


def test_explain_routes_as_the_router_does_before_a_language_is_read(
    start: Callable[..., Service], valkey: ValkeyServer, store: FlowStore, processes: Processes
) -> None:
    """While the router has no model of a language yet, `explain` uses none either, and reports that."""
    store.put(_flow(1))
    service = start(valkey.url)
    _until_read(processes, by=1)
    assert service.process
    os.kill(service.process.pid, signal.SIGSTOP)
    try:
        store.put(_flow(2, "hi"))
        assert _goes_to(service, 1, Body=HINDI) == f"FO{1:032x}"
        sid, steps = _explained(service)
        assert (sid, steps[-1].partition(";")[0]) == (
            f"FO{1:032x}",
            "Texts in hi are read by 0 of 1 processes so far",
        )
        assert "texts in hi are not all read yet by process" in _doctor(service)
    finally:
        os.kill(service.process.pid, signal.SIGCONT)
    _until_read(processes, "hi", by=1)
    assert _goes_to(service, 2, Body=HINDI) == f"FO{2:032x}"
    assert _explained(service)[0] == f"FO{2:032x}"
    assert "texts in hi are read by the one process that runs" in _doctor(service)


def test_languages_are_read_once_the_store_is_back(
    start: Callable[..., Service], spare_valkey: Callable[..., ValkeyServer]
) -> None:
    """A router that started without its store loads the models as soon as it can read the flows."""
    valkey = spare_valkey()
    store = FlowStore(Client(valkey.url))
    store.put(_flow(2, "hi"))
    store.close()
    valkey.kill()
    service = start(valkey.url)
    assert "the store does not say which languages flows name" in service.log.read_text()
    valkey.start()
    _until_read(Processes(Client(valkey.url)), "hi", by=1)


FILE = """
[[flow]]
friendly_name = "{}"
channel_type = "sms"
contact_identity = "+15550000001"
language = ["{}"]
integration_type = "proxy"
paused = true
"""


def _explained(service: Service) -> tuple[str, list[str]]:
    """Ask where a Hindi message would go; return the flow's SID and the steps."""
    environ = {"ROUTER_CONFIG": str(service.folder / "router.toml"), "ROUTER_DATA_DIR": str(service.folder)}
    explained = invoke("explain", "--to", OURS, "--body", HINDI, "--from", "messenger-1", "--json", **environ)
    found = json.loads(explained.output)
    return found["flex_flow_sid"], found["steps"]


def _goes_to(service: Service, number: int, query: str = "", **fields: str) -> str:
    """Send a message of a new customer; return the SID of the flow that gets it."""
    message = parameters(number, f"messenger-{number}", **fields) | {"FromCountry": ""}
    status, _, _ = service.webhook(message, f"/webhooks/sms{query}")
    assert status == 200
    found: str = service.json(f"/v1/Deliveries/{message['MessageSid']}")["flex_flow_sid"]
    return found


def _doctor(service: Service) -> str:
    environ = clean_environ(ROUTER_CONFIG=str(service.folder / "router.toml"))
    return subprocess.run(
        [ROUTER, "doctor", "--offline"], env=environ, capture_output=True, text=True, check=False
    ).stdout
