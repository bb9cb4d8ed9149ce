"""The processes that take messages over a store, as commands ask for them: on whatever machine they are."""

import sys
import time
from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_network
from typing import Final

import click

from router.cli.output import number
from router.flow.diff import Change
from router.flow.flex_flow import FlexFlow
from router.language.detector import language_of
from router.queries.checks.stored import all_of
from router.settings import Settings
from router.store import Store
from router.store.processes import Process

# Models take a second or so to load, and a process one or two to begin: they are replaced one after the other.
_PATIENCE: Final = 60.0
_LOOK: Final = 0.2
_SHOWN: Final = 3


def unready(store: Store, account_sid: str, flows: Iterable[FlexFlow]) -> str:
    """Say why no process would take messages for flows of an account, or not for all of them; "" where all would."""
    present = store.processes.present()
    served = [store.processes.served(name) for name in {each.serves for each in present}]
    if not present:
        return "no router runs over this store now: these flows take messages when one starts"
    here = [whom for whom in served if account_sid in whom.accounts]
    if not here:
        known = _listed(sorted({sid for whom in served for sid in whom.accounts}))
        return f"no router over this store serves {account_sid}, so these flows get no message; it serves {known}"
    wanted = {flow.integration.handler for flow in flows if flow.enabled and flow.integration.type == "handler"}
    lacking = sorted(name for name in wanted if not all(whom.has(name, account_sid) for whom in here))
    if not lacking:
        return ""
    return (
        f"the running router has no handler {', '.join(map(repr, lacking))} yet: its messages become undelivered until "
        "`router reload` has it read its settings again"
    )


def as_running(settings: Settings, store: Store) -> Settings:
    """Return settings with the private networks that the running processes allow: this terminal may not name them."""
    served = [store.processes.served(name) for name in {each.serves for each in store.processes.present()}]
    networks = {ip_network(each) for whom in served for each in whom.networks}
    return settings.model_copy(update={"allowed_networks": tuple({*settings.allowed_networks, *networks})})


def added_languages(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return the languages that changes bring to enabled flows, and whose texts can be read at all."""
    tags = dict.fromkeys(tag for change in changes for tag in _languages(change.after))
    before = {tag for change in changes for tag in _languages(change.before)}
    return tuple(tag for tag in tags if tag not in before and language_of(tag))


def _languages(flow: FlexFlow | None) -> tuple[str, ...]:
    return flow.language if flow and flow.enabled else ()


def await_languages(store: Store, account_sid: str, tags: Collection[str]) -> tuple[bool, str]:
    """Wait, and show it, until every process that serves an account can read texts in some languages.

    Returns: whether they all can, and how it is, in a sentence.
    """
    read, end, told = f"Texts in {', '.join(tags)}", time.monotonic() + _PATIENCE, ""
    try:
        while True:
            processes = store.processes.serving(account_sid)
            behind = [each for each in processes if not each.reads(tags)]
            so_far = f"{read} are read by {len(processes) - len(behind)} of {number(len(processes), 'process', 'es')}"
            if not behind or time.monotonic() > end:
                break
            told = _progress(so_far, told)
            time.sleep(_LOOK)
    except KeyboardInterrupt:
        return False, f"{so_far} so far. The others load the languages by themselves; the flows are written."
    finally:
        if told and sys.stderr.isatty():
            click.echo(err=True)
    if behind:
        return False, f"{so_far} so far, not by {_listed(behind)}; `router doctor` says when they are, the log why not."
    if not processes:
        return False, f"{read} are read when a router starts."
    return True, f"{read} are read from now on, by {all_of(len(processes))}."


def _progress(so_far: str, told: str) -> str:
    """Show how far it is, where that has changed: on a terminal in one line, elsewhere once."""
    if so_far != told:
        if sys.stderr.isatty():
            click.echo(f"\r{so_far} …", nl=False, err=True)
        elif not told:
            click.echo(f"{so_far}; waiting for the others", err=True)
    return so_far


def _listed(items: Sequence[str | Process]) -> str:
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(str(each) for each in items[:_SHOWN]) + more
