"""The part `console`: its cost while the router accepts messages, unused and with five people who watch the list."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlencode

from bench.candidate import start_router
from bench.measure import Sample, alternate, put_load, ratios
from bench.report import Figure, figure
from bench.scene import Scene
from bench.server import Server
from bench.stock import PAUSED
from bench.webhook import ACCOUNT

_PASSWORD: Final = "a password of the benchmark"  # noqa: S105 - of a router that lives for seconds
_WATCHERS: Final = 5
# Messages per second at which a live list must stay readable and cheap.
_RATE: Final = 500.0
# Seconds between two requests of a live list: data-live in router/web/console/templates/messages.html.
_PAUSE: Final = 3.0


def console(scene: Scene) -> list[Figure]:
    """Measure the processor time of a message: without a console, with an unused one, and with five viewers."""
    options = scene.options
    router = start_router(scene.servers, scene.url, options.workers, ROUTER_ADMIN_PASSWORD=_PASSWORD)

    def without() -> Sample:
        scene.stock.empty()
        return put_load(scene.router, options, PAUSED, rate=_RATE)

    def unwatched() -> Sample:
        scene.stock.empty()
        return put_load(router, options, PAUSED, rate=_RATE)

    def watched() -> Sample:
        scene.stock.empty()
        with _watching(router):
            return put_load(router, options, PAUSED, rate=_RATE)

    taken = alternate({"no console": without, "unwatched": unwatched, "five watch": watched}, options)
    spent = {name: [1e6 * sample.processor for sample in samples] for name, samples in taken.items()}
    others = [sample.others for samples in taken.values() for sample in samples]

    def more(name: str) -> list[float]:
        """Return the additional cost in percent of a core."""
        pairs = zip(spent[name], spent["no console"], strict=True)
        return [(each - without) * _RATE / 1e4 for each, without in pairs]

    return [
        *(figure("console", f"{name}: processor time", "µs each", values) for name, values in spent.items()),
        figure("console", "unwatched: more than without", "% of a core", more("unwatched"), at_most=2),
        figure("console", "five watch: more than without", "% of a core", more("five watch"), at_most=5),
        figure("console", "five watch / no console", "x", ratios(taken["five watch"], taken["no console"])),
        figure("console", "kept busy by others", "cores", others),
    ]


@contextmanager
def _watching(router: Server) -> Iterator[None]:
    """Simulate browsers that show the live list."""
    done = threading.Event()
    watchers = [threading.Thread(target=_watch, args=(router.port, done), daemon=True) for _ in range(_WATCHERS)]
    for each in watchers:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in watchers:
            each.join()


def _watch(port: int, done: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    connection.request("POST", "/console/sign-in", urlencode({"password": _PASSWORD}), form)
    answer = connection.getresponse()
    answer.read()
    headers = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0], "X-Live": "1"}
    while not done.wait(_PAUSE * (0.9 + (time.monotonic() % 1) / 5)):
        connection.request("GET", f"/console/{ACCOUNT}/messages", headers=headers)
        page = connection.getresponse()
        page.read()
        headers["If-None-Match"] = page.headers.get("ETag", headers.get("If-None-Match", ""))
    connection.close()
