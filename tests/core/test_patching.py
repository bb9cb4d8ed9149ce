"""While gevent patches the standard library, the installed packages are read once."""

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from gevent import events as of_gevent
from gevent.events import GeventWillPatchModuleEvent
from gunicorn.workers.ggevent import GeventWorker

from router.patching import packages_read_once
from router.process.worker import Worker


def test_packages_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gevent's events find the packages that subscribe to them, and only the first search reads the disk."""
    subscriber, told, reads = ModuleType("subscriber"), list[object](), list[object]()
    vars(subscriber)["tell"] = told.append
    monkeypatch.setitem(sys.modules, subscriber.__name__, subscriber)
    package = tmp_path / "subscriber-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: subscriber\nVersion: 1\n")
    (package / "entry_points.txt").write_text(f"[{GeventWillPatchModuleEvent.ENTRY_POINT_NAME}]\na = subscriber:tell\n")
    monkeypatch.syspath_prepend(tmp_path)
    distributions = metadata.distributions

    def counted() -> Iterable[metadata.Distribution]:
        reads.append(None)
        return distributions()

    monkeypatch.setattr(metadata, "distributions", counted)
    notify = vars(of_gevent)["notify_and_call_entry_points"]
    events = [GeventWillPatchModuleEvent(name, sys, sys, []) for name in ("os", "time", "socket")]
    with packages_read_once():
        for event in events:
            notify(event)
    assert (told, len(reads)) == (events, 1)
    notify(events[0])
    assert (told, len(reads)) == ([*events, events[0]], 2)


def test_a_worker_reads_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads the installed packages once while gevent patches its process."""
    found = []
    monkeypatch.setattr(GeventWorker, "patch", lambda _: found.append(metadata.entry_points))
    before = metadata.entry_points
    Worker.patch(object.__new__(Worker))
    assert found != [before]
    assert metadata.entry_points is before
