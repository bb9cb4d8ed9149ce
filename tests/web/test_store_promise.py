"""A router refuses a store that would lose messages, and reports what a store does not promise."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.service import Service, parameters
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

Spare = Callable[..., ValkeyServer]


def _sends(service: Service, number: int) -> int:
    return service.webhook(parameters(number, "+15551000001"))[0]


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [("maxmemory-policy", "allkeys-lru", "noeviction"), ("appendonly", "no", "yes")],
    ids=["an evicting store", "a store without an append-only file"],
)
def test_a_store_that_loses_messages_is_refused(
    tmp_path: Path, spare_valkey: Spare, setting: str, bad: str, good: str
) -> None:
    """With a store that evicts, or has no append-only file, messages and /readyz are 503 until it is corrected.

    When the store restarts with the bad setting, each message is 503 again, the first included.
    """
    valkey = spare_valkey(**{setting: bad})
    service = Service(tmp_path, valkey.url, workers=1)
    try:
        assert _sends(service, 1) == 503
        ready, body = service.get("/readyz")
        assert ready == 503
        assert f"set {setting} {good}".encode() in body
        wait_until(lambda: f"{setting} is {bad}" in service.log.read_text(), what="the log says why")
        assert service.get("/v1/Deliveries/SM" + f"{2:032x}")[0] == 404
        valkey.command(f"CONFIG SET {setting} {good}")
        assert _sends(service, 2) == 200
        assert service.get("/readyz")[0] == 200
        valkey.kill()
        valkey.start()
        assert [_sends(service, number) for number in range(3, 6)] == [503, 503, 503]
    finally:
        service.close()


def test_a_volatile_store_may_be_allowed(tmp_path: Path, spare_valkey: Spare) -> None:
    """With ROUTER_ALLOW_VOLATILE_STORE messages are accepted; log and /readyz say that they may be lost."""
    service = Service(tmp_path, spare_valkey(appendonly="no").url, workers=1, ROUTER_ALLOW_VOLATILE_STORE="true")
    try:
        assert _sends(service, 1) == 200
        ready, body = service.get("/readyz")
        assert ready == 200
        assert b"may lose every message" in body
        wait_until(lambda: "may lose every message" in service.log.read_text(), what="the log says it")
    finally:
        service.close()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("CONFIG SET appendfsync no", "loses half a minute of acknowledged messages"),
        ("ACL SETUSER default -config", "appendfsync is unknown (the store does not show its settings)"),
    ],
)
def test_a_store_with_weaker_promises_is_used_with_a_warning(
    tmp_path: Path, spare_valkey: Spare, command: str, says: str
) -> None:
    """With appendfsync no, or hidden settings, messages are accepted, and the log says what is at risk."""
    valkey = spare_valkey()
    assert valkey.command(command) == "+OK"
    service = Service(tmp_path, valkey.url, workers=1)
    try:
        wait_until(lambda: says in service.log.read_text(), what="the log says it")
        assert _sends(service, 1) == 200
        assert service.get("/readyz")[0] == 200
    finally:
        service.close()


def test_a_store_without_config_is_judged_by_its_info(tmp_path: Path, spare_valkey: Spare) -> None:
    """If CONFIG is forbidden, a missing append-only file and an evicting policy are found in INFO."""
    valkey = spare_valkey(appendonly="no", maxmemory_policy="allkeys-lru")
    assert valkey.command("ACL SETUSER default -config") == "+OK"
    service = Service(tmp_path, valkey.url, workers=1)
    try:
        assert _sends(service, 1) == 503
        found = service.json("/readyz")["store"]
        assert (found["appendonly"]["value"], found["maxmemory-policy"]["value"]) == ("no", "allkeys-lru")
    finally:
        service.close()
