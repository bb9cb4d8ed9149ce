"""Waits until the processes of the router can detect the languages of new flows."""

import sys
import time
from collections.abc import Sequence
from typing import Final

import click

from router.flow.diff import Change
from router.flow.flex_flow import FlexFlow
from router.language.detector import language_of
from router.printable import number
from router.queries.checks.stored import all_of
from router.queries.serving import listed
from router.store import Store

# In seconds. A model loads in about one, a process starts in one or two, and the processes are replaced one by one.
_PATIENCE: Final = 60.0
_POLL_EVERY: Final = 0.2


def await_languages(store: Store, changes: Sequence[Change]) -> tuple[bool, str]:
    """Wait until every process that serves an account can detect the languages that changes to its flows add.

    Returns: whether all of them can, and a sentence for people.
    """
    if not (tags := _added(changes)):
        return True, ""
    account_sid = changes[0].flow.account_sid
    read, end, shown = f"Texts in {', '.join(tags)}", time.monotonic() + _PATIENCE, ""
    try:
        while True:
            processes = store.processes.serving(account_sid)
            behind = [each for each in processes if not each.reads(tags)]
            so_far = f"{read} are read by {len(processes) - len(behind)} of {number(len(processes), 'process', 'es')}"
            if not behind or time.monotonic() > end:
                break
            shown = _progress(so_far, shown)
            time.sleep(_POLL_EVERY)
    except KeyboardInterrupt:
        return False, f"{so_far} so far. The others load the languages by themselves; the flows are written."
    finally:
        if shown and sys.stderr.isatty():
            click.echo(err=True)
    if behind:
        return (
            False,
            f"{so_far} so far, not by {listed(behind)}. `router doctor` shows the state, the log the reason.",
        )
    if not processes:
        return False, f"{read} will be read as soon as a router starts."
    return True, f"{read} are read from now on, by {all_of(len(processes))}."


def _progress(so_far: str, shown: str) -> str:
    """Print the progress if it has changed: on a terminal by rewriting one line, elsewhere only once."""
    if so_far != shown:
        if sys.stderr.isatty():
            click.echo(f"\r{so_far} …", nl=False, err=True)
        elif not shown:
            click.echo(f"{so_far}; waiting for the other processes", err=True)
    return so_far


def _added(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return the languages that changes add to enabled flows, and that can be detected from texts."""
    tags = dict.fromkeys(tag for change in changes for tag in _languages(change.after))
    before = {tag for change in changes for tag in _languages(change.before)}
    return tuple(tag for tag in tags if tag not in before and language_of(tag))


def _languages(flow: FlexFlow | None) -> tuple[str, ...]:
    return flow.language if flow and flow.enabled else ()
