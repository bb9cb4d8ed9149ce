"""`/healthz`: the process is alive. `/readyz`: it can accept messages. `/metrics`: metrics for Prometheus."""

import os
import time
from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, json
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import REGISTRY

from router.errors import StoreUnavailable
from router.metrics import write as write_metrics
from router.settings import Settings
from router.store import Store
from router.web.figures import StoreFigures

# /metrics needs no password, and with thousands of accounts a scrape takes a large part of a second. So scrapes may use
# only this part of a process's time, after a reserve of so many seconds; further scrapes get the previous text.
SCRAPE_PART: Final = 0.1
SCRAPE_RESERVE: Final = 1.0


class Scrapes:
    """Limits the cost of scrapes with a leaky bucket of processor seconds.

    Args:
        make: renders the metrics.
        clock: returns the processor time of this process, and a monotonic time, in seconds.
    """

    def __init__(self, make: Callable[[], bytes], clock: Callable[[], tuple[float, float]]) -> None:
        self._make = make
        self._clock = clock
        self._text = b""
        self._used = self._since = 0.0

    def text(self) -> bytes:
        """Return the current metrics, or those of the last scrape while the reserve is used up."""
        used, now = self._clock()
        self._used = max(0.0, self._used - (now - self._since) * SCRAPE_PART)
        self._since = now
        if not self._text or self._used < SCRAPE_RESERVE:
            self._text = self._make()
            self._used += self._clock()[0] - used
        return self._text


def blueprint(settings: Settings, store: Store) -> Blueprint:
    """Return the routes of health and metrics. They disclose no address and no body, and need no password."""
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def alive() -> Response:
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    @health.get("/readyz")
    def ready() -> Response:
        try:
            findings = store.promise.findings()
        except StoreUnavailable as error:
            body = {"ready": False, "store": str(error)}
            return Response(json.dumps(body), 503, content_type="application/json")
        good = not any(finding.fatal and not finding.good for finding in findings)
        body = {
            "ready": good,
            "store": {
                finding.name: {"value": finding.value, "good": finding.good}
                | ({} if finding.good else {"advice": finding.advice})
                for finding in findings
            },
        }
        return Response(json.dumps(body), 200 if good else 503, content_type="application/json")

    def make() -> bytes:
        write_metrics()
        registry = CollectorRegistry()
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            text = generate_latest(registry)
        else:
            text = generate_latest(REGISTRY)
        figures = CollectorRegistry()
        figures.register(StoreFigures(settings, store))
        return text + generate_latest(figures)

    scrapes = Scrapes(make, lambda: (time.process_time(), time.monotonic()))

    @health.get("/metrics")
    def metrics() -> Response:
        return Response(scrapes.text(), content_type=CONTENT_TYPE_LATEST)

    return health
