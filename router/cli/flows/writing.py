"""Writes changes of Flex Flows: asks, writes, and waits until the languages that they add can be detected."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from router.cli.confirm import confirm, refuse_to_ask_a_program
from router.cli.flows.languages import await_languages
from router.cli.progress import progress
from router.errors import RouterError
from router.flow.diff import Change
from router.queries.flow_writes import exchanges
from router.store import Store


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
