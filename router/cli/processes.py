"""The processes that accept messages with a store, on any machine: whether they have what a flow needs."""

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

# A model loads in about a second and a process starts in one or two, and the processes are replaced one by one.
_PATIENCE: Final = 60.0
_LOOK: Final = 0.2
_SHOWN: Final = 3


def unready(store: Store, account_sid: str, flows: Iterable[FlexFlow]) -> str:
    """Return why no process, or not every one, can deliver the messages of an account's flows; "" if all can."""
    present = store.processes.present()
    served = [store.processes.served(name) for name in {each.serves for each in present}]
    if not present:
        return "no router runs with this store now: these flows receive messages when a router starts"
    here = [whom for whom in served if account_sid in whom.accounts]
    if not here:
        known = _listed(sorted({sid for whom in served for sid in whom.accounts}))
        return f"the running router does not serve {account_sid}, so these flows get no message; it serves {known}"
    wanted = {flow.integration.handler for flow in flows if flow.enabled and flow.integration.type == "handler"}
    lacking = sorted(name for name in wanted if not all(whom.has(name, account_sid) for whom in here))
    if not lacking:
        return ""
    return (
        f"the running router has no handler {', '.join(map(repr, lacking))} yet: its messages become undelivered. "
        "Type `router reload`, so that the router reads its settings again"
    )


def as_running(settings: Settings, store: Store) -> Settings:
    """Return the settings with the private networks of the running processes, which this terminal may not have set."""
    served = [store.processes.served(name) for name in {each.serves for each in store.processes.present()}]
    networks = {ip_network(each) for whom in served for each in whom.networks}
    return settings.model_copy(update={"allowed_networks": tuple({*settings.allowed_networks, *networks})})


def added_languages(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return the languages that changes add to enabled flows, and that can be detected from texts."""
    tags = dict.fromkeys(tag for change in changes for tag in _languages(change.after))
    before = {tag for change in changes for tag in _languages(change.before)}
    return tuple(tag for tag in tags if tag not in before and language_of(tag))


def _languages(flow: FlexFlow | None) -> tuple[str, ...]:
    return flow.language if flow and flow.enabled else ()


def await_languages(store: Store, account_sid: str, tags: Collection[str]) -> tuple[bool, str]:
    """Wait until every process that serves an account can detect some languages, and show the progress.

    Returns: whether all of them can, and a sentence for people.
    """
    read, end, shown = f"Texts in {', '.join(tags)}", time.monotonic() + _PATIENCE, ""
    try:
        while True:
            processes = store.processes.serving(account_sid)
            behind = [each for each in processes if not each.reads(tags)]
            so_far = f"{read} are read by {len(processes) - len(behind)} of {number(len(processes), 'process', 'es')}"
            if not behind or time.monotonic() > end:
                break
            shown = _progress(so_far, shown)
            time.sleep(_LOOK)
    except KeyboardInterrupt:
        return False, f"{so_far} so far. The others load the languages by themselves; the flows are written."
    finally:
        if shown and sys.stderr.isatty():
            click.echo(err=True)
    if behind:
        return False, f"{so_far} so far, not by {_listed(behind)}; `router doctor` says when they are, the log why not."
    if not processes:
        return False, f"{read} are read when a router starts."
    return True, f"{read} are read from now on, by {all_of(len(processes))}."


def _progress(so_far: str, shown: str) -> str:
    """Show the progress, if it has changed: on a terminal in one line that is rewritten, elsewhere once."""
    if so_far != shown:
        if sys.stderr.isatty():
            click.echo(f"\r{so_far} …", nl=False, err=True)
        elif not shown:
            click.echo(f"{so_far}; waiting for the others", err=True)
    return so_far


def _listed(items: Sequence[str | Process]) -> str:
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(str(each) for each in items[:_SHOWN]) + more
