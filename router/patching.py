"""Makes gevent patch the standard library quickly, at the start of each process that serves messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata


@contextmanager
def packages_read_once() -> Iterator[None]:
    """Read the entry points of the installed packages once, while gevent patches.

    `gevent.monkey.patch_all` has some thirty events, and for each of them `gevent.events` looks for subscribers among
    the entry points of all installed packages. Each look reads them from the disk, which takes 1 to 3 ms.
    """
    read = metadata.entry_points
    metadata.entry_points = read().select
    try:
        yield
    finally:
        metadata.entry_points = read
