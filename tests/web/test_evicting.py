"""A store that throws messages away is given none."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.service import Service, parameters
from tests.valkey import ValkeyServer
from tests.waiting import wait_until


def test_an_evicting_store_is_refused(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """A 200 means safe: with an evicting store it is 503, until its settings are mended."""
    valkey = spare_valkey(maxmemory_policy="allkeys-lru")
    service = Service(tmp_path, valkey.url, workers=1)
    try:
        refused = wait_until(
            lambda: service.log.read_text().find("maxmemory-policy is allkeys-lru") > 0, what="the process finds out"
        )
        assert refused
        assert service.webhook(parameters(1, "+15551000001"))[0] == 503
        assert service.get("/v1/Deliveries/SM" + f"{1:032x}")[0] == 404
        valkey.command("CONFIG SET maxmemory-policy noeviction")
        assert service.webhook(parameters(1, "+15551000001"))[0] == 200
    finally:
        service.close()
