"""`make bench` with tiny numbers: it reports all figures; their values are not checked."""

import json
from pathlib import Path

from tests.bench.command import bench

_TINY = ("--rounds=1", "--seconds=0.02", "--connections=4", "--flows=20", "--queued=20", "--repeats=0", "--streams=5")
_EVERY_FIGURE = {
    "intake": {
        "bare Flask",
        "bare Flask, our worker",
        "intake",
        "bare Flask: processor time",
        "bare Flask, our worker: processor time",
        "intake: processor time",
        "kept busy by others",
        "intake / bare Flask",
        "intake / bare Flask, our worker",
        "intake at 25%: processor time",
        "bare Flask, our worker, at 25%: processor time",
        "bare Flask, our worker, at 75%: processor time",
        "intake at 50%: processor time",
        "intake at 75%: processor time",
        "intake at 90%: processor time",
        "p99 at 50% load",
        "p99 at 75% load",
        "p99 at 90% load",
        "p99 of bare Flask, our worker, at 75% load",
    },
    "e2e": {
        "plain Flask, delivered",
        "accept, delivered",
        "relay, delivered",
        "accept / plain Flask",
        "relay / plain Flask",
        "plain Flask: processor time",
        "accept: processor time",
        "relay: processor time",
        "kept busy by others",
        "accept: last one after an overload",
        "store calls for a delivered message",
    },
    "relay": {"half load", "p50 of the target alone", "added at p50", "p99 through the router", "kept busy by others"},
    "flat": {
        "10 flows",
        "10 flows: processor time",
        *(f"{name}: processor time" for name in ("20 flows", "20 flows, all written to")),
        "kept busy by others",
        *(f"{name}: {what}" for name in ("20 flows", "20 flows, all written to") for what in ("throughput", "p50")),
    },
    "backlog": {
        "intake",
        *(f"{count} waiting: {what}" for count in (1, 20) for what in ("others", "p99", "processor time")),
        "kept busy by others",
        "20 sent",
        "20 sent / intake",
        *(
            f"20 sent: {what}"
            for what in (
                "begun after",
                "processor time",
                "store calls",
                "the latest retry at another target",
                "the latest retry at this target",
                "kept busy by others",
            )
        ),
    },
    "control": {
        *(f"{what}, 10 flows" for what in ("create", "fetch", "first page of a list")),
        *(
            f"{what}, {flows} flows: time"
            for what in ("create", "fetch", "first page of a list")
            for flows in (20, 200)
        ),
        "kept busy by others",
        *(f"store, for a flow of {flows}, beside the list of changes" for flows in (20, 200)),
        *(
            f"20 {what}{rate}"
            for what in ("created through the API", "applied", "applied again", "removed by --prune")
            for rate in ("", ": rate")
        ),
    },
    "chat": {
        "streams",
        "processes",
        "private memory of a stream",
        "delay to the stream, p50",
        "delay to the stream, p99",
        "intake of SMS beside the streams",
        "the same, by worker time",
    },
    "cluster": {
        *(
            f"{name}{what}"
            for name in ("one server", "three nodes")
            for what in ("", ": processor time", ": the store's processor time")
        ),
        "three nodes / one server",
        "kept busy by others",
    },
    "console": {
        "kept busy by others",
        "no console: processor time",
        "unwatched: processor time",
        "five watch: processor time",
        "unwatched: more than without",
        "five watch: more than without",
        "five watch / no console",
    },
    "memory": {
        "store, for a flow",
        "store, for a queued SMS beyond its 440 bytes",
        "private memory of a worker",
    },
}
_WITH_EXPRESS = {"Express, delivered", "Express: processor time", "accept / Express", "relay / Express"}


def test_reports_every_figure(tmp_path: Path) -> None:
    """The benchmark reports all figures of each part, names what it left out, and removes its files."""
    done = bench("all", "--json", *_TINY, "--data-dir", tmp_path / "var")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    express = set() if any(reason.startswith("Express") for reason in found["left_out"]) else _WITH_EXPRESS
    for part, names in _EVERY_FIGURE.items():
        reported = {figure["name"] for figure in found["figures"] if figure["part"] == part}
        assert reported == names | (express if part == "e2e" else set())
    assert all(figure["least"] <= figure["median"] <= figure["most"] for figure in found["figures"])
    assert list((tmp_path / "var").iterdir()) == []
