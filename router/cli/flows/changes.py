"""What the commands that change Flex Flows share: reading a flow file, asking, and writing."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

import click

from router.cli.output import clean
from router.cli.progress import progress, watched
from router.errors import RouterError
from router.flow.diff import Change, in_groups
from router.flow.file import ALWAYS, FileFlow, load
from router.flow.flex_flow import FIELDS, FlexFlow, is_given, value_of
from router.settings import Settings
from router.sid import new_sid
from router.store import FlowWrite, Store

# Characters of a flow file from which on it is said that it is being read: a second's work.
_LONG: Final = 4_000_000
# Flows in one exchange with the store: some 100 KB and a few ms of its time, far below its one-second limit.
_CHUNK: Final = 200
# Flows written at once at most: some 35 ms, in which the store does nothing else.
_TOGETHER: Final = 2_000


def read_flow_file(file: TextIO, settings: Settings, account_sid: str) -> tuple[FileFlow, ...]:
    """Read a flow file for an account; raise RouterError with everything that is wrong in it."""
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise RouterError(f"{clean(file.name)}: not UTF-8: {error}") from None
    if len(text) > _LONG and sys.stderr.isatty():
        click.echo(f"Checking {clean(file.name)}", err=True)
    # Of flows made in one second the smaller SID is asked first: new ones of a file are asked in its order.
    sids = iter(sorted(new_sid("FO") for _ in range(text.count("[[flow"))))
    return load(
        text,
        file=file.name,
        account_sid=account_sid,
        handlers=settings.handlers_of(account_sid),
        now=int(time.time()),
        new_sid=lambda: next(sids, None) or new_sid("FO"),
    )


def current_flows(store: Store, account_sid: str) -> Iterator[FlexFlow]:
    """Walk all flows of an account, oldest first, and show how far that is."""
    return watched("Reading flows", store.flows.walk(account_sid), store.flows.count(account_sid))


@dataclass(frozen=True, slots=True)
class How:
    """How a command that changes flows was called: only to show, without asking, and for a program."""

    dry_run: bool
    yes: bool
    as_json: bool

    def check(self) -> None:
        """Refuse what cannot be: a program is asked nothing."""
        if self.as_json and not (self.dry_run or self.yes):
            raise click.UsageError("--json needs --yes or --dry-run: nobody would be asked.")


def carry_out(store: Store, changes: Sequence[Change], how: How, *, by: str, again: str) -> bool:
    """Make changes that were shown, if that is wanted; say so, unless to a program; return whether they were made.

    Args:
        store: where the flows are.
        changes: at least one, as for `write_changes`.
        how: how the command was called.
        by: who does it, for the list of changes.
        again: what to do when the store fails on the way.

    Raises:
        RouterError: somebody was asked and said no, or as `write_changes`.
    """
    if how.dry_run:
        if not how.as_json:
            click.echo("Nothing was changed: this was a dry run.")
        return False
    if not (how.yes or _agreed(changes)):
        raise RouterError("nothing was changed")
    write_changes(store, changes, by=by, again=again)
    if not how.as_json:
        click.echo("Done. The next message is routed by it.")
    return True


def described(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Write changes as JSON shows them."""
    return [
        named(change.flow)
        | {
            "kind": change.kind,
            "fields": {key: {"before": _shown(was), "after": _shown(is_)} for key, was, is_ in _fields(change)},
        }
        for change in changes
    ]


def named(flow: FlexFlow) -> dict[str, Any]:
    """Write which flow it is."""
    return {
        "sid": flow.sid,
        "channel_type": flow.channel_type,
        "contact_identity": flow.contact_identity,
        "friendly_name": flow.friendly_name,
    }


def _fields(change: Change) -> list[tuple[str, object, object]]:
    """List what changes in a flow; of one that is added or removed, what it has of its own, but for secrets."""
    if change.before and change.after:
        return change.fields()
    own = [
        (each.key, value_of(change.flow, each.attribute))
        for each in FIELDS
        if each.wire in ALWAYS or (is_given(change.flow, each) and not each.write_only)
    ]
    return [(key, None, value) if change.after else (key, value, None) for key, value in own]


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _agreed(changes: Sequence[Change]) -> bool:
    """Ask where there is somebody to ask; elsewhere only what removes needs a word."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return click.confirm("Change them?")
    if any(change.kind == "remove" for change in changes):
        raise RouterError("nothing was changed: to remove flows without being asked, say --yes")
    return True


def write_changes(store: Store, changes: Sequence[Change], *, by: str, again: str) -> None:
    """Write the changes; those of an address at once, so that no message finds half of them.

    Args:
        store: where the flows are.
        changes: in an order that `router.flow.diff.in_order` made.
        by: who does it, for the list of changes.
        again: what to do when the store fails on the way.

    Raises:
        RouterError: the store failed, or somebody else changed a flow meanwhile; how much was written, and `again`.
    """
    done = 0
    try:
        with progress("Writing", len(changes)) as bar:
            for groups in _exchanges(changes):
                store.flows.write(groups, by=by)
                written = sum(len(group) for group in groups)
                done += written
                bar.update(written)
    except RouterError as error:
        raise RouterError(f"{error}. About {done:,} of {len(changes):,} changes were made; {again}") from error


def _exchanges(changes: Sequence[Change]) -> Iterator[list[list[FlowWrite]]]:
    """Give the changes in exchanges with the store, in groups that are written at once."""
    groups: list[list[FlowWrite]] = []
    size = 0
    for group in in_groups(changes):
        writes = [FlowWrite(change.after, change.before) for change in group]
        # A chain of moves through very many addresses is written flow by flow, lest the store stand still for it.
        for together in [writes] if len(writes) <= _TOGETHER else [[write] for write in writes]:
            if size + len(together) > _CHUNK and groups:
                yield groups
                groups, size = [], 0
            groups.append(together)
            size += len(together)
    if groups:
        yield groups
