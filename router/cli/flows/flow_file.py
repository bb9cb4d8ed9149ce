"""Reads the flow file of a command, and the account's flows with which it is compared."""

import sys
import time
from collections.abc import Iterator
from typing import Final, TextIO

import click

from router.cli.progress import watched
from router.errors import RouterError
from router.flow.file import FileFlow, load
from router.flow.flex_flow import FlexFlow
from router.printable import clean
from router.settings import Settings
from router.sid import new_sid
from router.store import Store

# Characters of a flow file that takes a second to check: for longer files the command prints that it is checking.
_LONG: Final = 4_000_000


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
