"""`router flows`: Flex Flows as code, TOML in and out."""

import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final, TextIO

import click
from rich.text import Text

from router.cli.context import base_url, load_settings_for_cli
from router.cli.flows_log import log
from router.cli.reach import account_option, json_option, one_account, open_store, some_accounts
from router.cli.show import clean, integration_line, print_changes, print_json, print_table, word
from router.errors import RouterError
from router.flow import FlexFlow, to_resource
from router.flow_diff import Change, diff
from router.flow_field import CHANNEL_TYPES
from router.flow_file import export as to_toml
from router.flow_file import load as from_toml
from router.sid import new_sid
from router.store import Store

# Flows in one exchange with the store: some 100 KB and a few ms of its time, far below its one-second limit.
_CHUNK: Final = 200
_COLUMNS: Final = ("SID", "CHANNEL", "ADDRESS", "STATUS", "GOES TO", "ANSWERS", "NAME")
_PAGE: Final = 500
_BY: Final = "router flows apply"
_MANY: Final = 1000  # changes, from which on progress is shown


@click.group()
def flows() -> None:
    """See and change the Flex Flows: which integration takes the messages for an address.

    \b
      router flows list
      router flows export > flows.toml
      router flows apply flows.toml
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


flows.add_command(log)


@flows.command("list")
@click.option("--channel", type=click.Choice(CHANNEL_TYPES), help="Only those of this channel.")
@click.option("--limit", type=click.IntRange(1), default=50, help="How many, the newest first. [50]")
@account_option
@json_option
def list_(*, channel: str | None, limit: int, account: str | None, as_json: bool) -> None:
    """List the Flex Flows, the newest first."""
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        accounts = some_accounts(settings, account)
        found = list(islice((flow for each in accounts for flow in _newest(store, each.sid, channel)), limit))
        total = sum(store.flows.count(each.sid) for each in accounts)
    if as_json:
        print_json([to_resource(flow, base_url(settings)) for flow in found])
    elif found:
        print_table(
            _COLUMNS, [_row(flow) for flow in found], whole=("SID", "CHANNEL", "STATUS"), spare=("ANSWERS", "NAME")
        )
        if len(found) == limit < total:
            click.echo(f"The newest {limit:,} of {total:,} flows. Choose with --limit and --channel.")
    elif total:
        click.echo(f"No flow of the channel {channel} among {total:,}.")
    else:
        click.echo("No flows yet. Add some with: router flows apply FILE (config/flows.toml shows every kind)")


def _newest(store: Store, account_sid: str, channel: str | None) -> Iterator[FlexFlow]:
    offset = 0
    while page := store.flows.page(account_sid, offset, _PAGE):
        offset += _PAGE
        yield from (flow for flow in page if channel in (None, flow.channel_type))


def _row(flow: FlexFlow) -> tuple[str | Text, ...]:
    status = "disabled" if not flow.enabled else "paused" if flow.paused else "enabled"
    languages = f"  ({', '.join(flow.language)})" if flow.language else ""
    return (
        flow.sid,
        flow.channel_type,
        flow.contact_identity,
        word(status),
        integration_line(flow),
        flow.response,
        f"{flow.friendly_name}{languages}",
    )


@flows.command()
@click.option("--secrets", is_flag=True, help="With signing keys; without them, applied flows keep those they have.")
@account_option
def export(*, secrets: bool, account: str | None) -> None:
    """Print all Flex Flows as TOML, which `apply` takes back unchanged.

    \b
      router flows export > flows.toml
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        sid = one_account(settings, account).sid
        click.echo(f"# Flex Flows of {sid}. Change them and say: router flows apply FILE\n")
        click.echo(to_toml(store.flows.walk(sid), secrets=secrets), nl=False)


@flows.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--prune", is_flag=True, help="Also remove the flows that the file does not have.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@account_option
def apply(*, file: TextIO, prune: bool, dry_run: bool, yes: bool, account: str | None) -> None:
    """Add and change Flex Flows as FILE says (TOML; - for standard input).

    \b
      router flows apply flows.toml --dry-run
      router flows apply flows.toml --prune

    The file is checked as a whole, and what would change is shown; with an error in it, nothing changes. Applied
    twice, it changes nothing more. A [[flow]] with a `sid` is that flow; one without is the flow of its address with
    its name, else with its language and match, else a new one. On a terminal it asks before it changes anything;
    elsewhere it only needs --yes to remove.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        sid = one_account(settings, account).sid
        wanted = from_toml(
            _read(file),
            file=file.name,
            account_sid=sid,
            handlers=settings.handlers_of(sid),
            now=int(time.time()),
            new_sid=lambda: new_sid("FO"),
        )
        changes = diff(store.flows.walk(sid), wanted, prune=prune)
        if not changes:
            click.echo(f"Nothing to change: the {len(wanted):,} flows of {clean(file.name)} are as it says.")
            return
        print_changes(changes)
        if dry_run:
            click.echo("Nothing was changed: this was a dry run.")
        elif yes or _agreed(changes):
            _write(store, changes)
            click.echo("Done. The next message is routed by it.")
        else:
            raise RouterError("nothing was changed")


def _read(file: TextIO) -> str:
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise RouterError(f"{clean(file.name)}: not UTF-8: {error}") from None


def _agreed(changes: tuple[Change, ...]) -> bool:
    """Ask where there is somebody to ask; elsewhere only what removes needs a word."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return click.confirm("Change them?")
    if any(change.kind == "remove" for change in changes):
        raise RouterError("nothing was changed: to remove flows without being asked, say --yes")
    return True


def _write(store: Store, changes: tuple[Change, ...]) -> None:
    """Write the changes in their order, which keeps them out of each other's way."""
    done = 0
    try:
        hidden = len(changes) < _MANY or not sys.stderr.isatty()
        with click.progressbar(length=len(changes), label="Writing", file=sys.stderr, hidden=hidden) as bar:
            for start in range(0, len(changes), _CHUNK):
                chunk = changes[start : start + _CHUNK]
                for change in chunk:
                    if change.before and not change.after:
                        store.flows.delete(change.before, by=_BY)
                        done += 1
                puts = [(change.after, change.before) for change in chunk if change.after]
                if puts:
                    store.flows.put_all(puts, by=_BY)
                    done += len(puts)
                bar.update(len(chunk))
    except RouterError as error:
        raise RouterError(
            f"{error}. About {done:,} of {len(changes):,} changes were made; apply the file again for the rest"
        ) from error
