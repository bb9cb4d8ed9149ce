"""Measures the candidates in turn, in several rounds, so that disturbances of the machine affect all of them."""

import http.client
import json
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import click

from bench.load import Load, Measured
from bench.processor import Watch
from bench.server import Server
from bench.stock import ACCEPT
from bench.webhook import Stream
from router.errors import RouterError

# Messages prepared for each second of a measurement: more than a router accepts.
_PREPARED: Final = 6_000
# The maximum number of concurrent messages with a rate. A process accepts 1,000 connections.
_OPEN: Final = 256
# The maximum number of messages that are sent repeatedly to a candidate that stores none.
_REPEATED: Final = 2_000
_DRAINED: Final = 60.0
# The cores that other programs may keep busy; above that, a measurement counts as disturbed.
_CALM: Final = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """The extent of the benchmark: rounds, seconds of each measurement, connections, processes of each candidate.

    `flows` and `queued` are the numbers of flows and messages in a full store, `streams` that of open web chats. A
    measurement that other programs disturbed is repeated up to `repeats` times, and the least disturbed one counts.
    """

    rounds: int = 5
    seconds: float = 4.0
    connections: int = 64
    workers: int = 1
    flows: int = 100_000
    queued: int = 100_000
    repeats: int = 2
    streams: int = 1000

    @property
    def warm(self) -> float:
        """The seconds of warm-up before each measurement."""
        return min(1.0, self.seconds / 4)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: the results of the load, and the messages per second that arrived.

    `processor` is the workers' processor time for a message, in seconds; `others` the cores that other programs used.
    """

    measured: Measured
    throughput: float
    processor: float
    others: float
    tail: float = 0.0


Measurement = Callable[[], Sample]


def alternate(names: Mapping[str, Measurement], options: Options) -> dict[str, list[Sample]]:
    """Run every measurement once in each round; each round starts with a different one."""
    taken: dict[str, list[Sample]] = {name: [] for name in names}
    order = list(names)
    for number in range(options.rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            sample = _calmest(names[name], options.repeats)
            taken[name].append(sample)
            click.echo(f"  {number + 1}/{options.rounds} {name}: {_summary(sample)}", err=True)
    return taken


def _calmest(measurement: Measurement, repeats: int) -> Sample:
    samples = [measurement()]
    while samples[-1].others > _CALM and len(samples) <= repeats:
        samples.append(measurement())
    return min(samples, key=lambda sample: sample.others)


def ratios(over: Sequence[Sample], under: Sequence[Sample]) -> list[float]:
    """Return for each round the throughput of one candidate divided by another's."""
    return [top.throughput / max(bottom.throughput, 1e-9) for top, bottom in zip(over, under, strict=True)]


def throughput(samples: Sequence[Sample]) -> float:
    """Return the median throughput."""
    return statistics.median(sample.throughput for sample in samples)


def put_load(  # noqa: PLR0913 - the server and the kind of load
    server: Server,
    options: Options,
    block: int,
    *,
    rate: float = 0.0,
    addresses: int = 10,
    unique: bool = True,
    accounts: int = 1,
) -> Sample:
    """Send messages to the addresses of a block, as many as the server accepts or `rate` per second.

    Messages for a router are `unique`: another message with the same SID would be a duplicate. With a `rate`, hundreds
    may be in progress: with fewer, a server that stalls would be sent fewer messages, but Twilio does not wait.

    Raises:
        RouterError: an answer was not 200, so the figures would be meaningless.
    """
    messages = int((options.seconds + options.warm) * (rate or _PREPARED)) + 1
    load = Load(
        port=server.port,
        stream=Stream(secrets.randbits(32), block, addresses, accounts=accounts),
        messages=messages if unique else min(messages, _REPEATED),
        seconds=options.seconds,
        at_once=max(options.connections // 2, _OPEN if rate else 1),
        warm=options.warm,
        rate=rate,
        repeat=not unique,
    )
    watch = Watch(server.workers())
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=load.to_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RouterError(f"{server.name} could not be measured: {done.stderr[-800:]}")
    measured = Measured.from_mapping(json.loads(done.stdout))
    if measured.failed:
        raise RouterError(
            f"{server.name} answered {measured.failed} of {measured.sent} messages with: {measured.failure}"
        )
    return Sample(measured, measured.rate, watch.seconds() / max(1, measured.sent), watch.others())


def put_through(router: Server, target: Server, options: Options) -> Sample:
    """Send messages that are answered immediately and then delivered, and count them at the target.

    The throughput is that of the target during the load; `tail` is the time after it until the last message arrived.

    Raises:
        RouterError: messages are not delivered within a minute.
    """
    ask(target, "/reset")
    watch = Watch(router.workers())
    measured = put_load(router, options, ACCEPT).measured
    begun = time.monotonic()
    while (arrived := arrivals(target, measured.began, measured.ended)).total < measured.sent:
        if time.monotonic() - begun > _DRAINED:
            raise RouterError(f"{measured.sent - arrived.total} messages have not arrived after {_DRAINED:g} s")
        time.sleep(0.05)
    if arrived.total != measured.sent:
        raise RouterError(f"{measured.sent} messages were accepted and {arrived.total} arrived")
    return Sample(
        measured,
        throughput=arrived.between / max(measured.ended - measured.began, 1e-9),
        processor=watch.seconds() / max(1, measured.sent),
        others=watch.others(),
        tail=max(0.0, arrived.last - measured.ended),
    )


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The messages that a target received: all, those between two times, and the times of the first and the last."""

    total: int
    between: int
    first: float
    last: float


def arrivals(target: Server, began: float = 0.0, ended: float = 0.0) -> Arrivals:
    """Return the arrivals at a target; times are of `time.perf_counter`."""
    total, between, first, last = ask(target, f"/{began}/{ended}").split()
    return Arrivals(int(total), int(between), float(first), float(last))


def ask(target: Server, path: str) -> str:
    """Send a GET to a target, and return its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _summary(sample: Sample) -> str:
    measured = sample.measured
    return (
        f"{sample.throughput:,.0f}/s, p50 {measured.p50 * 1000:.2f} ms, p99 {measured.p99 * 1000:.2f} ms, "
        f"{sample.processor * 1e6:.0f} µs of processor each; generator {measured.busy:.0%} of a core, others "
        f"{sample.others:.0%}"
    )
