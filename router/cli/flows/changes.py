"""Shared by the commands that change Flex Flows: read a flow file, show what would change, ask, and write."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

import click
from rich.text import Text

from router.cli.confirm import confirm, refuse_to_ask_a_program
from router.cli.flows.languages import await_languages
from router.cli.output import clean, console, integration_line, progress, styled, watched
from router.errors import RouterError
from router.flow.diff import Change
from router.flow.file import FileFlow, load
from router.flow.flex_flow import FlexFlow
from router.queries.flow_writes import exchanges
from router.settings import Settings
from router.sid import new_sid
from router.store import Store

# Characters of a flow file that takes a second to check: for longer files the command prints that it is checking.
_LONG: Final = 4_000_000
_SHOWN: Final = 100  # changes that are shown one by one
_MARKS: Final = {"add": "+", "change": "~", "remove": "-"}


def read_flow_file(file: TextIO, settings: Settings, account_sid: str) -> tuple[FileFlow, ...]:
    """Read a flow file for an account; raise RouterError with everything that is wrong in it."""
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise RouterError(f"{clean(file.name)}: not UTF-8: {error}") from None
    if len(text) > _LONG and sys.stderr.isatty():
        click.echo(f"Checking {clean(file.name)}", err=True)
    # Of flows created in the same second, routing tries the smallest SID first: sorted SIDs keep the file's order.
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
    """Iterate over all flows of an account, oldest first, and show the progress."""
    return watched("Reading flows", store.flows.walk(account_sid), store.flows.count(account_sid))


# -- showing ----------------------------------------------------------------------------------------------------------


def print_changes(changes: Sequence[Change], warnings: Callable[[FlexFlow], Sequence[object]]) -> None:
    """Print the changes, the first ones in detail with the warnings about their flows, and their numbers."""
    out = console()
    warned = {each.after.sid: found for each in changes if each.after and (found := warnings(each.after))}
    for change in changes[:_SHOWN]:
        flow, kind = change.flow, change.kind
        sid = f"{flow.sid}  " if change.before else ""  # a new one may have none yet
        line = f"{_MARKS[kind]} {kind:6}  {sid}{flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}”"
        out.print(styled(line, kind), soft_wrap=True)
        if kind == "add":
            out.print(Text(clean(f"    {integration_line(flow)}, {flow.response}")), soft_wrap=True)
        for each in change.differences() if kind == "change" else ():
            line = f"    {each.key}: {value_text(each.before)} → {value_text(each.after)}"
            out.print(Text(clean(line)), soft_wrap=True)
        for warning in warned.get(flow.sid, ()):
            out.print(styled(f"    ! {warning}", "warning"), soft_wrap=True)
    if len(changes) > _SHOWN:
        out.print(f"… and {len(changes) - _SHOWN:,} more")
    counts = Counter[str](change.kind for change in changes)
    out.print(", ".join(f"{counts[kind]:,} to {kind}" for kind in _MARKS if counts[kind]))
    if warned:
        out.print(styled(f"! Flows with warnings: {len(warned):,}; see the lines with !", "warning"))


def described(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return changes as JSON shows them."""
    return [
        named(change.flow)
        | {
            "kind": change.kind,
            "fields": {
                each.key: {"before": _listed(each.before), "after": _listed(each.after)}
                for each in change.differences()
                if change.kind == "change" or not each.secret
            },
        }
        for change in changes
    ]


def named(flow: FlexFlow) -> dict[str, Any]:
    """Return the values that identify a flow."""
    return {
        "sid": flow.sid,
        "channel_type": flow.channel_type,
        "contact_identity": flow.contact_identity,
        "friendly_name": flow.friendly_name,
    }


def value_text(value: object) -> str:
    """Return a value of a flow on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ", ".join(value) or "none"
    return str(value or "none")


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


# -- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class How:
    """The options of a command that changes flows."""

    dry_run: bool
    yes: bool
    as_json: bool

    def __post_init__(self) -> None:
        """Raise UsageError for --json without --yes or --dry-run."""
        refuse_to_ask_a_program(as_json=self.as_json, yes=self.yes, dry_run=self.dry_run)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of changes: whether they were written, and whether all processes can detect their languages."""

    written: bool = False
    read: bool = True


def carry_out(store: Store, changes: Sequence[Change], how: How, *, by: str, again: str) -> Outcome:
    """Ask, write the changes, wait until all processes can detect the languages that they add, and print the result.

    The changes are in the order of `router.flow.diff.in_order`; `again` tells the user what to do if the store fails
    before the end.

    Raises:
        RouterError: the answer was no, the store failed, or another person or program changed a flow in the meantime.
    """
    if not changes:
        return Outcome()
    if how.dry_run:
        if not how.as_json:
            click.echo("Nothing was changed: this was a dry run.")
        return Outcome()
    if not how.yes:
        confirm("Change them?", always=any(change.kind == "remove" for change in changes))
    _write(store, changes, by=by, again=again)
    read, sentence = await_languages(store, changes)
    if not how.as_json:
        click.echo(f"Done. The change applies to the next message. {sentence}".rstrip())
    return Outcome(written=True, read=read)


def _write(store: Store, changes: Sequence[Change], *, by: str, again: str) -> None:
    """Write the changes, those of one address together, so that no message is routed with only a part of them."""
    done = 0
    try:
        with progress("Writing", len(changes)) as bar:
            for groups in exchanges(changes):
                store.flows.write(groups, by=by)
                written = sum(len(group) for group in groups)
                done += written
                bar.update(written)
    except RouterError as error:
        raise RouterError(f"{error}. About {done:,} of {len(changes):,} changes were made; {again}") from error
