"""`router flows`: lists, exports and applies Flex Flows; the group of all commands about flows."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Final, TextIO

import click
from rich.text import Text

from router.cli.confirm import dry_run_option, yes_option
from router.cli.flows.changes import described, print_changes
from router.cli.flows.diff import diff as diff_command
from router.cli.flows.flow_file import current_flows, read_flow_file
from router.cli.flows.live import import_
from router.cli.flows.log import log
from router.cli.flows.switch import SWITCHES, remove
from router.cli.flows.warnings import described as described_warnings
from router.cli.flows.warnings import print_warnings
from router.cli.flows.web import web
from router.cli.flows.writing import How, carry_out
from router.cli.here import Here, with_here
from router.cli.options import Group, json_option
from router.cli.output import integration_line, print_json, print_table, short, word
from router.cli.running import base_url
from router.flow.diff import diff
from router.flow.file import export as to_toml
from router.flow.flex_flow import FlexFlow
from router.flow.parameter import CHANNEL_TYPES
from router.flow.resource import to_resource
from router.flow.warned import of_settings
from router.flow.warning import of_flow, of_flows
from router.printable import clean
from router.queries.flow_warnings import foreseen
from router.queries.serving import unready
from router.store import Store

_COLUMNS: Final = ("SID", "NAME", "CHANNEL", "ADDRESS", "STATUS", "GOES TO", "ANSWERS")
_PAGE: Final = 500
_MATCH: Final = 60  # characters of a condition that `list` shows
# The export of an account without flows: it has only comments, so applying it changes nothing.
_EXAMPLE: Final = """\
# This account has no flows yet. A flow says where the messages of an address go: contact_identity is the number that
# customers write to, or "*" for every number without another flow, and integration.url is your webhook. For a Studio
# flow write integration.flow_sid = "FW…" instead. docs/flex-flows.md lists all parameters, and `router flows import`
# imports the Flex Flows that the account has at Twilio.
#
# Remove the "# " of each line from here on, and write your own number and URL:
#
# [[flow]]
# friendly_name = "Support by SMS"
# channel_type = "sms"
# contact_identity = "+15005550006"
# integration.url = "https://example.com/messages"
"""


@click.group(cls=Group)
def flows() -> None:
    """Show and change the Flex Flows, which set the integration that receives the messages of an address.

    \b
      router flows list
      router flows export > flows.toml
      router flows apply flows.toml
      router flows pause FO3f2a9c1b
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


for command in (*SWITCHES, remove, web, import_, diff_command, log):
    flows.add_command(command)


@flows.command("list")
@click.option("--channel", type=click.Choice(CHANNEL_TYPES), help="Only flows of this channel.")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="Only the newest N. [50]")
@json_option
@with_here
def list_(here: Here, *, channel: str | None, limit: int, as_json: bool) -> None:
    """List the Flex Flows, the newest first."""
    found = list(islice((flow for each in here.accounts for flow in _newest(here.store, each.sid, channel)), limit))
    total = sum(here.store.flows.count(each.sid) for each in here.accounts)
    if as_json:
        print_json([to_resource(flow, base_url(here.settings)) for flow in found])
    elif found:
        rows = [_row(flow) for flow in found]
        print_table(_COLUMNS, rows, whole=("SID", "CHANNEL", "STATUS"), spare=("ANSWERS",), brief=("SID",))
        if len(found) == limit < total:
            click.echo(f"The newest {limit:,} of {total:,} flows. Choose with --limit and --channel.")
        others = found if len(found) == total else None
        print_warnings([*of_settings(here.settings), *of_flows(found, here.around, others=others)])
    elif total:
        click.echo(f"No flow of the channel {channel} among {total:,}.")
    else:
        click.echo("No flows yet. Add some with: router flows apply FILE (config/flows.toml has examples)")


def _newest(store: Store, account_sid: str, channel: str | None) -> Iterator[FlexFlow]:
    offset = 0
    while page := store.flows.page(account_sid, offset, _PAGE):
        offset += _PAGE
        yield from (flow for flow in page if channel in (None, flow.channel_type))


def _row(flow: FlexFlow) -> tuple[str | Text, ...]:
    held = "paused" if flow.paused else "waiting" if flow.undeliverable else "enabled"
    status = held if flow.enabled else "disabled"
    languages = f"  ({', '.join(flow.language)})" if flow.language else ""
    match = f"  if {short(flow.match, _MATCH)}" if flow.match else ""
    return (
        flow.sid,
        f"{flow.friendly_name}{languages}{match}",
        flow.channel_type,
        flow.contact_identity,
        word(status),
        integration_line(flow),
        flow.response,
    )


@flows.command()
@click.option("--secrets", is_flag=True, help="Include signing keys; a file without them does not change them.")
@with_here
def export(here: Here, *, secrets: bool) -> None:
    """Print all Flex Flows as TOML, for `router flows apply`.

    \b
      router flows export > flows.toml
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    sid = here.account.sid
    click.echo(f"# Flex Flows of {sid}. After changes: router flows apply FILE\n")
    click.echo(to_toml(current_flows(here.store, sid), secrets=secrets) or _EXAMPLE, nl=False)


@flows.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--prune", is_flag=True, help="Also remove the flows that the file does not have.")
@dry_run_option
@yes_option
@json_option
@with_here
def apply(  # noqa: PLR0913 - one for each option
    here: Here, *, file: TextIO, prune: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Add and change Flex Flows as in FILE (TOML; - for standard input).

    \b
      router flows apply flows.toml --dry-run
      router flows apply flows.toml --prune

    The whole file is checked, and the changes are shown; if the file has an error, nothing changes. A second `apply`
    of the same file changes nothing. A [[flow]] with a `sid` is the flow with this SID. A [[flow]] without a `sid` is
    the flow of its address with the same name, or else with the same language and match, or else a new flow. All
    changes of an address take effect together, even if flows exchange addresses. On a terminal the command asks
    before it changes anything; elsewhere it needs --yes to remove flows.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    how = How(dry_run, yes, as_json)
    owner, store = here.account, here.store
    wanted = read_flow_file(file, here.settings, owner.sid)
    current = list(current_flows(store, owner.sid))
    changes = diff(current, wanted, prune=prune)
    around = here.around
    warnings = foreseen(current, changes, wanted, around)
    why = unready(store, owner.sid, [each.flow for each in wanted])
    if not as_json:
        if changes:
            print_changes(changes, lambda flow: of_flow(flow, around))
        else:
            click.echo(f"Nothing to change: the {len(wanted):,} flows are already as in {clean(file.name)}.")
        changed = {change.after.sid for change in changes if change.after}
        print_warnings(
            [each for each in warnings if not each.flow or each.flow.sid not in changed or each.among_others]
        )
        if why:
            click.secho(f"! {why}", fg="yellow")
    outcome = carry_out(store, changes, how, by="router flows apply", again="apply the file again for the rest")
    if as_json:
        result = {"changes": described(changes), "warnings": described_warnings(warnings), "unready": why}
        print_json(result | asdict(outcome))
