"""A running router keeps its store's indexes and its metrics files small."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from router.store.client import Client
from router.store.keys import AccountKeys
from tests.e2e.service import ACCOUNT, Service, parameters
from tests.valkey import ValkeyServer
from tests.waiting import wait_until


def test_a_router_trims_what_has_expired(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """After its start a router removes thousands of expired index entries."""
    valkey = spare_valkey()
    client, log = Client(valkey.url), AccountKeys(ACCOUNT).log
    client.calls([("ZADD", log, number, f"{ACCOUNT}:SM{number}") for number in range(5000)])
    service = Service(tmp_path, valkey.url, workers=1)
    try:
        wait_until(lambda: client.call("ZCARD", log) == 0, what="the index is empty")
    finally:
        service.close()
        client.close()


def test_dead_processes_leave_no_metric_files(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """The metrics files of killed processes are removed, and their counts are kept."""
    folder, temp = tmp_path / "service", tmp_path / "temp"
    folder.mkdir()
    temp.mkdir()
    service = Service(folder, spare_valkey().url, workers=1, TMPDIR=str(temp))
    try:
        files: list[set[str]] = []
        for number in range(4):
            (pid,) = wait_until(service.workers, what="a process runs")
            wait_until(partial(_taken, service, number), what="it serves")
            assert _counted(service) == number + 1
            files.append({file.name for file in temp.glob("router-metrics-*/*.db")})
            os.kill(pid, signal.SIGKILL)
            wait_until(partial(_replaced, service, pid), what="another one has begun")
        assert files[0] == files[-1], files
        assert len(files[0]) == 3, "one each for counters, gauges and histograms"
        # A killed master cannot remove its folder; the next master does.
        service.kill()
        (left,) = temp.glob("router-metrics-*")
        service.start()
        assert left not in temp.glob("router-metrics-*")
        assert len(list(temp.glob("router-metrics-*"))) == 1
    finally:
        service.close()


def test_the_operators_folder_begins_empty(tmp_path: Path, spare_valkey: Callable[..., ValkeyServer]) -> None:
    """At start the router empties the folder that PROMETHEUS_MULTIPROC_DIR names."""
    folder, metrics = tmp_path / "service", tmp_path / "metrics"
    folder.mkdir()
    metrics.mkdir()
    (metrics / "counter_1.db").write_bytes(b"of a version that named its files otherwise")
    service = Service(folder, spare_valkey().url, workers=1, PROMETHEUS_MULTIPROC_DIR=str(metrics))
    try:
        for _ in range(2):
            assert _taken(service, 1)
            assert len(list(metrics.glob("*.db"))) == 3
            service.stop()
            assert _written(metrics) == 1, "a process that ends writes its counts"
            service.start()
    finally:
        service.close()


def _taken(service: Service, number: int) -> bool:
    try:
        return service.webhook(parameters(number, "+15551000001"))[0] == 200
    except OSError:  # no process is listening yet
        return False


def _replaced(service: Service, pid: int) -> bool:
    return service.workers() not in ([], [pid])


def _counted(service: Service) -> float:
    text = service.get("/metrics")[1].decode()
    lines = [line for line in text.splitlines() if line.startswith("router_webhooks_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _written(folder: Path) -> float:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    samples = [sample for family in registry.collect() for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == "router_webhooks_total")
