"""The benchmark fills a store with the same data that the router writes."""

from pathlib import Path
from typing import Any

import redis

from bench.candidate import start_router
from bench.client import post
from bench.server import servers
from bench.stock import PAUSED, Stock
from bench.webhook import FORM_BYTES, Stream

_STREAM = Stream(7, PAUSED, addresses=3, conversations=5)
# Times and random values.
_CHANCE = {b"at", b"token"}
_LANES = ("message", "lane", "due", "leases", "queued", "log", "dead", "taken")


def test_a_queue_is_written_as_intake_writes_it(tmp_path: Path) -> None:
    """`Stock.queue` writes the same keys, fields and encodings as the router writes for webhooks."""
    with servers(tmp_path) as started:
        url = started.store("store")
        stock = Stock(url, "http://127.0.0.1:9/inbound")
        store = redis.Redis.from_url(url)
        stock.empty()
        router = start_router(started, url, 1)
        for request in _STREAM.requests(7, "router.example"):
            post(router, request)
        by_webhooks = _kept(store)
        stock.empty()
        stock.queue(_STREAM, 7)
        assert _kept(store) == by_webhooks
        assert len([key for key in by_webhooks if key.startswith("message")]) == 7
        stock.close()
        store.close()


def test_bodies_are_those_of_the_requests() -> None:
    """`Stream.bodies`, which is fast, returns the bodies of the requests that `Stream.requests` signs."""
    requests = list(_STREAM.requests(20, "router.example"))
    bodies = list(_STREAM.bodies(20))
    assert [each.partition(b"\r\n\r\n")[2] for each in requests] == bodies
    assert {len(body) for body in bodies} == {FORM_BYTES}


def _kept(store: Any) -> dict[str, Any]:
    found = {}
    for key in store.scan_iter():
        name = key.decode()
        if not name.startswith(_LANES):
            continue
        encoding, kind = store.object("ENCODING", key), store.type(key)
        if kind == b"hash":
            content: Any = {field: value for field, value in store.hgetall(key).items() if field not in _CHANCE}
        elif kind == b"zset":
            content = sorted(store.zrange(key, 0, -1))
        else:
            content = store.lrange(key, 0, -1) if kind == b"list" else sorted(store.smembers(key))
        found[name] = (encoding, content)
    return found
