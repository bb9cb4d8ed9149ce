"""Shared by the parts of the benchmark: a store with flows, the target, and a router."""

from bench.candidate import start_router, start_target, target_url
from bench.measure import Options, Sample, put_load
from bench.server import Server, Servers
from bench.stock import PAUSED, Stock


class Scene:
    """A store with flows, the target, and a router with this store."""

    def __init__(self, servers: Servers, options: Options) -> None:
        self.options = options
        self.servers = servers
        self.target = start_target(servers)
        self.url = servers.store("valkey")
        self.stock = Stock(self.url, target_url(self.target))
        self.stock.empty()
        self.router = start_router(servers, self.url, options.workers)

    def intake(self, router: Server | None = None) -> Sample:
        """Measure the intake of messages; their flow is paused, so that no deliveries use the core."""
        self.stock.empty()
        return put_load(router or self.router, self.options, PAUSED)

    def another_stock(self, name: str) -> Stock:
        """Start one more store, with ten flows of each kind."""
        stock = Stock(self.servers.store(name), target_url(self.target))
        stock.empty()
        return stock
