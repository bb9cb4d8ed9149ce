"""`make bench PART=backlog`: how a long queue for a target that is down slows other messages, and how fast it drains.

Two stores have a router each: in one a fiftieth of `--queued` messages wait, in the other all of them. Their target
refuses connections. Both routers deliver other messages, whose throughput is compared. Then the target of the long
queue starts, and the time until its last message arrives is measured. During this, messages that failed before become
due: some for the same target, through another flow, and some for another target.
"""

import socket
import time
from collections.abc import Callable
from typing import Final

from bench.candidate import start_router, start_target
from bench.measure import Sample, alternate, arrivals, ask, put_through, ratios, throughput
from bench.processor import Watch
from bench.progress import Progress
from bench.report import Figure, figure
from bench.scene import Scene
from bench.server import Server
from bench.stock import RETRIED, RETRIED_THERE, WAITING
from bench.webhook import Stream
from router.errors import RouterError

# The long queue divided by the short one.
_SHORTER: Final = 50
_FLOWS: Final = 10
# The number of messages for each of two targets that become due while the queue drains: the first after a second, the
# last after this many times the seconds of a measurement.
_RETRIES: Final = 100
_RETRIED_OVER: Final = 5
# Limits beyond which the benchmark fails: seconds until the queue begins to drain, its messages per second, and the
# seconds by which a retry may be late.
_BEGINS: Final = 60.0
_SLOWEST: Final = 500
_MISSED: Final = 60.0


class _Side:
    """A store in which `count` messages wait for a target that is down, and a router over it."""

    def __init__(self, scene: Scene, count: int, down: str) -> None:
        self.count = count
        self.name = f"{count:,} waiting"
        self._scene = scene
        self.stock = scene.another_stock(f"{count}-waiting")
        self.stock.put_flows(WAITING, _FLOWS, url=f"{down}/inbound")
        self.stock.put_flows(RETRIED_THERE, 1, url=f"{down}/retried")
        self.stock.put_flows(RETRIED, 1, url=f"http://127.0.0.1:{scene.target.port}/retried")
        self.stock.queue(Stream(1, WAITING, conversations=count), count, Progress(f"{count:,} that wait", count))
        self.stock.wait_until_written()
        self.router = start_router(scene.servers, self.stock.url, scene.options.workers)

    def others(self) -> Sample:
        """Measure the delivery of other messages."""
        return put_through(self.router, self._scene.target, self._scene.options)

    def end(self) -> None:
        """Stop the router, and close the connections."""
        self._scene.servers.end(self.router)
        self.stock.close()


def backlog(scene: Scene) -> list[Figure]:
    """Measure other messages next to a short and a long queue, and then how the long one drains."""
    down, queued = socket.socket(), scene.options.queued
    down.bind(("127.0.0.1", 0))  # bound without listening: connections are refused, and the port stays reserved
    port: int = down.getsockname()[1]
    short, long = (_Side(scene, count, f"http://127.0.0.1:{port}") for count in (max(1, queued // _SHORTER), queued))
    taken = alternate({"intake": scene.intake, short.name: short.others, long.name: long.others}, scene.options)
    short.end()
    figures = [
        figure("backlog", "intake", "messages/s", [each.throughput for each in taken["intake"]]),
        figure("backlog", f"{short.name}: others", "messages/s", [each.throughput for each in taken[short.name]]),
        figure("backlog", f"{long.name}: others", "x", ratios(taken[long.name], taken[short.name]), at_least=0.95),
    ]
    for name in (short.name, long.name):
        figures += [
            figure("backlog", f"{name}: p99", "ms", [1000 * each.measured.p99 for each in taken[name]]),
            figure("backlog", f"{name}: processor time", "µs each", [1e6 * each.processor for each in taken[name]]),
        ]
    others = [each.others for samples in taken.values() for each in samples]
    figures.append(figure("backlog", "kept busy by others", "cores", others))
    down.close()
    figures += _drained(scene, long, port, throughput(taken["intake"]))
    long.end()
    return figures


def _drained(scene: Scene, side: _Side, port: int, intake: float) -> list[Figure]:
    """Start the target, and measure how the queue drains."""
    watch, calls, began = Watch(side.router.workers()), side.stock.script_calls(), time.perf_counter()
    target = start_target(scene.servers, port)
    _wait(lambda: arrivals(target).total > 0, _BEGINS, "the queue did not begin to drain")
    ask(scene.target, "/reset")
    step = scene.options.seconds * _RETRIED_OVER / _RETRIES
    delays = [1 + number * step for number in range(_RETRIES)]
    due = {
        "at another target": (scene.target, side.stock.retry_later(Stream(2, RETRIED, 1), delays)),
        "at this target": (target, side.stock.retry_later(Stream(3, RETRIED_THERE, 1), delays)),
    }
    wanted, progress = side.count + _RETRIES, Progress("sent when the target is back", side.count + _RETRIES)

    def all_arrived() -> bool:
        progress(min(wanted, total := arrivals(target).total))
        return total >= wanted

    _wait(all_arrived, _BEGINS + side.count / _SLOWEST, "the queue did not drain")
    arrived = arrivals(target)
    rate = arrived.total / max(arrived.last - arrived.first, 1e-9)
    spent, others = watch.seconds() / arrived.total, watch.others()
    name = f"{side.count:,} sent"
    return [
        figure("backlog", f"{name}: begun after", "s", [arrived.first - began]),
        figure("backlog", name, "messages/s", [rate]),
        figure("backlog", f"{name} / intake", "x", [rate / max(intake, 1e-9)], at_least=1.5),
        figure("backlog", f"{name}: processor time", "µs each", [1e6 * spent]),
        figure("backlog", f"{name}: store calls", "", [(side.stock.script_calls() - calls) / arrived.total]),
        *(
            figure("backlog", f"{name}: the latest retry {where}", "s", [max(_late(at, times))], at_most=2)
            for where, (at, times) in due.items()
        ),
        figure("backlog", f"{name}: kept busy by others", "cores", [others]),
    ]


def _late(target: Server, due: list[float]) -> list[float]:
    """Return the delays of the retries in seconds, in the order in which they became due."""

    def came() -> list[float]:
        return [float(each) for each in ask(target, "/retried").split()]

    _wait(lambda: len(came()) >= len(due), _MISSED, "not all retries arrived")
    return [there - then for there, then in zip(sorted(came()), due, strict=True)]


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RouterError(f"{what} within {seconds:.0f} s")
        time.sleep(0.05)
