"""The parts of the benchmark: each one prepares its stores and servers, measures, and returns its figures."""

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from bench.backlog import backlog
from bench.candidate import start_bare, start_express, start_plain, start_router, without_express
from bench.chat import chat
from bench.cluster import cluster
from bench.console import console
from bench.control import control
from bench.measure import (
    Measurement,
    Sample,
    alternate,
    put_load,
    put_through,
    ratios,
    throughput,
)
from bench.progress import Progress
from bench.report import Figure, figure
from bench.scene import Scene
from bench.stock import ACCEPT, PAUSED, RELAY
from bench.webhook import FORM_BYTES, Stream

_RATE: Final = "messages/s"
Taken = Mapping[str, Sequence[Sample]]
# The maximum p99 in ms, by the fraction of the maximum load.
_P99: Final = {0.5: 20.0, 0.75: 50.0, 0.9: 150.0}
# The least throughput that counts as unchanged: within 5 %.
_FLAT: Final = 0.95


def intake(scene: Scene) -> list[Figure]:
    """Measure durable intake and a view that only parses the form, and the latency at fractions of the maximum load."""
    options = scene.options
    bare = start_bare(scene.servers, scene.url, options.workers)
    ours = start_bare(scene.servers, scene.url, options.workers, our_worker=True)
    taken = alternate(
        {
            "bare Flask": lambda: put_load(bare, options, PAUSED, unique=False),
            "bare Flask, our worker": lambda: put_load(ours, options, PAUSED, unique=False),
            "intake": scene.intake,
        },
        options,
    )
    most = throughput(taken["intake"])

    def at(load: float) -> Sample:
        scene.stock.empty()
        return put_load(scene.router, options, PAUSED, rate=most * load)

    # A view without a store, at the same fractions of its own maximum: the cost of machine and worker below full load.
    most_bare = throughput(taken["bare Flask, our worker"])

    def bare_at(load: float) -> Sample:
        return put_load(ours, options, PAUSED, rate=most_bare * load, unique=False)

    loads = alternate(
        {f"intake at {load:.0%}": partial(at, load) for load in (0.25, *_P99)}
        | {f"bare Flask, our worker, at {load:.0%}": partial(bare_at, load) for load in (0.25, 0.75)},
        options,
    )
    return [
        *(figure("intake", name, _RATE, [each.throughput for each in samples]) for name, samples in taken.items()),
        figure("intake", "intake / bare Flask", "x", ratios(taken["intake"], taken["bare Flask"]), at_least=1.5),
        figure(
            "intake",
            "intake / bare Flask, our worker",
            "x",
            ratios(taken["intake"], taken["bare Flask, our worker"]),
            at_least=0.95,
        ),
        *_processor("intake", taken),
        *_processor("intake", loads),
        *(
            figure("intake", f"p99 at {load:.0%} load", "ms", _p99(loads[f"intake at {load:.0%}"]), at_most=at_most)
            for load, at_most in _P99.items()
        ),
        figure(
            "intake", "p99 of bare Flask, our worker, at 75% load", "ms", _p99(loads["bare Flask, our worker, at 75%"])
        ),
        _others("intake", taken),
    ]


def e2e(scene: Scene) -> list[Figure]:
    """Measure delivered messages, compared with candidates that store nothing, and the store calls of each message."""
    options, servers = scene.options, scene.servers
    plain = start_plain(servers, scene.url, options.workers)
    express = start_express(servers, scene.target, options.workers)
    calls: list[float] = []

    def accept() -> Sample:
        scene.stock.empty()
        before = scene.stock.script_calls()
        sample = put_through(scene.router, scene.target, options)
        calls.append((scene.stock.script_calls() - before) / sample.measured.sent)
        return sample

    def relay() -> Sample:
        scene.stock.empty()
        return put_load(scene.router, options, RELAY)

    measurements: dict[str, Measurement] = {
        "plain Flask": lambda: put_load(plain, options, RELAY, unique=False),
        "accept": accept,
        "relay": relay,
    }
    if express is not None:
        measurements["Express"] = lambda: put_load(express, options, RELAY, unique=False)
    taken = alternate(measurements, options)
    figures = [
        figure("e2e", f"{name}, delivered", _RATE, [sample.throughput for sample in samples])
        for name, samples in taken.items()
    ]
    for name, least, least_express in (("accept", 4, 1), ("relay", 3.5, 0.9)):
        figures.append(
            figure("e2e", f"{name} / plain Flask", "x", ratios(taken[name], taken["plain Flask"]), at_least=least)
        )
        if express is not None:
            figures.append(
                figure("e2e", f"{name} / Express", "x", ratios(taken[name], taken["Express"]), at_least=least_express)
            )
    figures.append(
        figure("e2e", "accept: last one after an overload", "s", [sample.tail for sample in taken["accept"]])
    )
    calls_each = figure("e2e", "store calls for a delivered message", "", calls, at_most=2.1)
    return [*figures, *_processor("e2e", taken), calls_each, _others("e2e", taken)]


def relay(scene: Scene) -> list[Figure]:
    """Measure the delay that relaying adds to a direct call of the target, at half of the router's maximum load."""
    options = scene.options
    scene.stock.empty()
    half = put_load(scene.router, options, RELAY).throughput / 2
    taken = alternate(
        {
            "direct": lambda: put_load(scene.target, options, RELAY, rate=half),
            "relay": lambda: put_load(scene.router, options, RELAY, rate=half),
        },
        options,
    )
    pairs = list(zip(taken["relay"], taken["direct"], strict=True))
    added = [1000 * (ours.measured.p50 - direct.measured.p50) for ours, direct in pairs]
    return [
        figure("relay", "half load", _RATE, [half]),
        figure("relay", "p50 of the target alone", "ms", [1000 * direct.measured.p50 for _, direct in pairs]),
        figure("relay", "added at p50", "ms", added, at_most=3),
        figure("relay", "p99 through the router", "ms", [1000 * ours.measured.p99 for ours, _ in pairs]),
        _others("relay", taken),
    ]


def flat(scene: Scene) -> list[Figure]:
    """Measure the intake with few and many flows; with all of them in use, hardly any message finds its flow cached."""
    options = scene.options
    many = scene.another_stock("flows")
    many.put_flows(PAUSED, options.flows, begin=10, progress=Progress(f"{options.flows:,} flows", options.flows))
    many.wait_until_written()
    # Separate routers: messages to all addresses fill the cache, which must not affect the other measurement.
    over_flows, over_all = (start_router(scene.servers, many.url, options.workers) for _ in range(2))
    flows = f"{options.flows:,} flows"
    taken = alternate(
        {
            "10 flows": scene.intake,
            flows: partial(put_load, over_flows, options, PAUSED),
            f"{flows}, all written to": partial(put_load, over_all, options, PAUSED, addresses=options.flows),
        },
        options,
    )
    many.close()
    figures = [figure("flat", "10 flows", _RATE, [sample.throughput for sample in taken["10 flows"]])]
    base = statistics.median(sample.measured.p50 for sample in taken["10 flows"])
    for name in list(taken)[1:]:
        slower = [sample.measured.p50 / max(base, 1e-9) for sample in taken[name]]
        figures += [
            figure("flat", f"{name}: throughput", "x", ratios(taken[name], taken["10 flows"]), at_least=_FLAT),
            figure("flat", f"{name}: p50", "x", slower, at_most=round(1 / _FLAT, 2)),
        ]
    return [*figures, *_processor("flat", taken), _others("flat", taken)]


def memory(scene: Scene) -> list[Figure]:
    """Measure the memory of a flow and a queued message in the store, and of a worker after a load."""
    options = scene.options
    stock = scene.another_stock("memory")
    before = stock.used_bytes()
    stock.put_flows(PAUSED, options.flows, begin=10)
    with_flows = stock.used_bytes()
    stock.queue(Stream(1, PAUSED, conversations=options.queued), options.queued)
    with_queue = stock.used_bytes()
    stock.close()
    flow = (with_flows - before) / max(1, options.flows - 10)
    message = (with_queue - with_flows) / options.queued - FORM_BYTES
    scene.intake()
    scene.stock.empty()
    put_load(scene.router, options, ACCEPT)
    private = [size / 1e6 for size in scene.router.private_bytes()]
    return [
        figure("memory", "store, for a flow", "bytes", [flow], at_most=900),
        figure("memory", f"store, for a queued SMS beyond its {FORM_BYTES} bytes", "bytes", [message], at_most=1536),
        figure("memory", "private memory of a worker", "MB", private, at_most=120),
    ]


def _p99(samples: Sequence[Sample]) -> list[float]:
    return [1000 * each.measured.p99 for each in samples]


def _processor(part: str, taken: Taken) -> list[Figure]:
    return [
        figure(part, f"{name}: processor time", "µs each", [1e6 * sample.processor for sample in samples])
        for name, samples in taken.items()
    ]


def _others(part: str, taken: Taken) -> Figure:
    return figure(part, "kept busy by others", "cores", [each.others for samples in taken.values() for each in samples])


__all__ = ["PARTS", "Scene", "without_express"]

PARTS: Final = {
    "intake": intake,
    "e2e": e2e,
    "relay": relay,
    "flat": flat,
    "backlog": backlog,
    "memory": memory,
    "console": console,
    "control": control,
    "chat": chat,
    "cluster": cluster,
}
