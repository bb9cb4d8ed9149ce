"""What the commands that change Flex Flows share: reading a flow file, asking, and writing."""

import sys
import time
from collections.abc import Sequence
from typing import Final, TextIO

import click

from router.cli.show import clean
from router.errors import RouterError
from router.flow_diff import Change
from router.flow_file import FileFlow, load
from router.settings import Settings
from router.sid import new_sid
from router.store import Store

# Flows in one exchange with the store: some 100 KB and a few ms of its time, far below its one-second limit.
_CHUNK: Final = 200
_MANY: Final = 1000  # changes, from which on progress is shown


def read_flow_file(file: TextIO, settings: Settings, account_sid: str) -> tuple[FileFlow, ...]:
    """Read a flow file for an account; raise RouterError with everything that is wrong in it."""
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise RouterError(f"{clean(file.name)}: not UTF-8: {error}") from None
    return load(
        text,
        file=file.name,
        account_sid=account_sid,
        handlers=settings.handlers_of(account_sid),
        now=int(time.time()),
        new_sid=lambda: new_sid("FO"),
    )


def agreed(changes: Sequence[Change]) -> bool:
    """Ask where there is somebody to ask; elsewhere only what removes needs a word."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return click.confirm("Change them?")
    if any(change.kind == "remove" for change in changes):
        raise RouterError("nothing was changed: to remove flows without being asked, say --yes")
    return True


def write_changes(store: Store, changes: Sequence[Change], *, by: str, again: str) -> None:
    """Write the changes in their order, which keeps them out of each other's way.

    Args:
        store: where the flows are.
        changes: in an order that `router.flow_diff.in_order` made.
        by: who does it, for the list of changes.
        again: what to do when the store fails on the way.

    Raises:
        RouterError: the store failed, or somebody else changed a flow meanwhile; how much was written, and `again`.
    """
    done = 0
    try:
        hidden = len(changes) < _MANY or not sys.stderr.isatty()
        with click.progressbar(length=len(changes), label="Writing", file=sys.stderr, hidden=hidden) as bar:
            for start in range(0, len(changes), _CHUNK):
                chunk = changes[start : start + _CHUNK]
                for change in chunk:
                    if change.before and not change.after:
                        store.flows.delete(change.before, by=by)
                        done += 1
                puts = [(change.after, change.before) for change in chunk if change.after]
                if puts:
                    store.flows.put_all(puts, by=by)
                    done += len(puts)
                bar.update(len(chunk))
    except RouterError as error:
        raise RouterError(f"{error}. About {done:,} of {len(changes):,} changes were made; {again}") from error
