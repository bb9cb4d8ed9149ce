"""`make bench PART=control`: the REST resource and `router flows apply`, with few flows and with very many."""

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click

from bench.candidate import command_environ, start_router
from bench.client import Call, Crowd, in_sequence
from bench.measure import Sample, alternate, ratios
from bench.processor import Watch
from bench.progress import Progress
from bench.report import Figure, figure
from bench.scene import Scene
from bench.server import Server, without_settings
from bench.stock import MADE, PAUSED, Stock, flow, form
from router.errors import RouterError
from router.flow.file import export

# The sizes of the compared stores, as fractions of `--flows`: a hundredth, one and ten, so 1,000 to a million flows.
_SIZES: Final = ((1, 100), (1, 1), (10, 1))
_FLAT: Final = 1.05  # DESIGN 6.5: within 5 %
_FLOW_BYTES: Final = 1024  # DESIGN 6.6
_WORKERS: Final = 2
# Coprime to all numbers of flows in use, so that successive fetches are not of neighbours.
_STRIDE: Final = 7_919


@dataclass(frozen=True, slots=True)
class _Side:
    """A store with `size` flows of `flow_bytes` each, and a router with this store."""

    size: int
    stock: Stock
    router: Server
    flow_bytes: float
    made: Iterator[int]

    def calls(self, what: str) -> Iterator[Call]:
        """Return an endless iteration of calls of one kind."""
        if what == "create":
            return (_create(number) for number in self.made)
        if what == "fetch":
            numbers = (n * _STRIDE % self.size for n in itertools.count(1))
            return (Call(f"/v1/FlexFlows/{flow(PAUSED, number).sid}") for number in numbers)
        return itertools.repeat(Call("/v1/FlexFlows"))


_KINDS: Final = ("create", "fetch", "first page of a list")


def control(scene: Scene) -> list[Figure]:
    """Measure create, fetch and list with few and many flows, and the time to create many by the API and by `apply`."""
    count = scene.options.flows
    sides = [_side(scene, max(10, count * times // over)) for times, over in _SIZES]
    measurements = {
        f"{what}, {side.size:,} flows": partial(_measure, scene, side, what) for what in _KINDS for side in sides
    }
    taken = alternate(measurements, scene.options)
    figures = []
    for what in _KINDS:
        few, *more = (f"{what}, {side.size:,} flows" for side in sides)
        figures.append(figure("control", few, "ms", [1000 * each.measured.p50 for each in taken[few]]))
        for many in more:
            slower = ratios(taken[few], taken[many])
            figures.append(figure("control", f"{many}: time", "x", slower, at_most=_FLAT))
    others = [each.others for samples in taken.values() for each in samples]
    figures.append(figure("control", "kept busy by others", "cores", others))
    for side in sides[1:]:
        name = f"store, for a flow of {side.size:,}, beside the list of changes"
        figures.append(figure("control", name, "bytes", [side.flow_bytes], at_most=_FLOW_BYTES))
    smallest, *larger = sides
    for side in larger:  # the rest uses one store, emptied before each measurement
        side.stock.close()
        scene.servers.end(side.router)
    return [*figures, *_through_the_api(scene, smallest, count), *_applied(scene, smallest.stock, count)]


def _create(number: int) -> Call:
    return Call("/v1/FlexFlows", form(flow(MADE, number)))


def _workers(scene: Scene) -> int:
    return max(_WORKERS, scene.options.workers)


def _side(scene: Scene, size: int) -> _Side:
    stock = scene.another_stock(f"{size}-flows")
    before = stock.used_bytes() - stock.changes_bytes()
    stock.put_flows(PAUSED, size, begin=10, progress=Progress(f"{size:,} flows to compare with", size))
    stock.wait_until_written()
    flow_bytes = (stock.used_bytes() - stock.changes_bytes() - before) / max(1, size - 10)
    return _Side(size, stock, start_router(scene.servers, stock.url, _workers(scene)), flow_bytes, itertools.count())


def _measure(scene: Scene, side: _Side, what: str) -> Sample:
    options, watch = scene.options, Watch(side.router.workers())
    measured = in_sequence(side.router.port, side.calls(what), seconds=options.seconds / 2, warm=options.warm / 2)
    return Sample(measured, measured.rate, watch.seconds() / max(1, measured.sent), watch.others())


def _through_the_api(scene: Scene, side: _Side, count: int) -> list[Figure]:
    side.stock.forget_flows()
    calls = (_create(number) for number in range(count))
    crowd = Crowd(side.router.port, max(2, scene.options.connections // 2))
    seconds = crowd.send(calls, Progress(f"{count:,} flows through the API", count))
    _check(side.stock, count)
    return _rate(f"{count:,} created through the API", count, seconds)


def _applied(scene: Scene, stock: Stock, count: int) -> list[Figure]:
    stock.forget_flows()
    file = scene.servers.folder / "flows.toml"
    file.write_text(export(flow(MADE, number) for number in range(count)), encoding="utf-8")
    environ = without_settings() | command_environ(stock.url)
    click.echo(f"  {count:,} flows by `router flows apply`", err=True)
    figures = []
    for name, prune in (("applied", False), ("applied again", False), ("removed by --prune", True)):
        if prune:
            file.write_text("", encoding="utf-8")
        seconds = _apply(file, environ, prune=prune)
        _check(stock, 0 if prune else count)
        figures += _rate(f"{count:,} {name}", count, seconds)
    return figures


def _apply(file: Path, environ: dict[str, str], *, prune: bool) -> float:
    router = Path(sys.executable).with_name("router")
    more = ("--prune",) if prune else ()
    begun = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own command
        [router, "flows", "apply", file, "--yes", *more],
        env=environ,
        cwd=file.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RouterError(f"`router flows apply` failed: {done.stderr[-800:]}")
    return time.perf_counter() - begun


def _check(stock: Stock, wanted: int) -> None:
    if (found := stock.flows()) != wanted:
        raise RouterError(f"{found:,} flows exist instead of {wanted:,}")


def _rate(name: str, count: int, seconds: float) -> list[Figure]:
    return [
        figure("control", name, "s", [seconds]),
        figure("control", f"{name}: rate", "flows/s", [count / max(seconds, 1e-9)]),
    ]
