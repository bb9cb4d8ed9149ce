"""`router flows import`: imports the Flex Flows and Address Configurations of an account at Twilio."""

import time
from collections.abc import Iterable
from dataclasses import asdict

import click

from router.cli.confirm import dry_run_option, yes_option
from router.cli.flows.changes import described, print_changes
from router.cli.flows.flow_file import current_flows
from router.cli.flows.writing import How, carry_out
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import print_json
from router.cli.progress import watched
from router.errors import RouterError
from router.flow.warning import of_flow
from router.printable import clean
from router.queries.live_flows import Comparison, LeftOut, compare
from router.twilio_api.flows import LiveAccount


@click.command("import")
@dry_run_option
@yes_option
@json_option
@with_here
def import_(here: Here, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Import the FlexFlows and Address Configurations of the account from Twilio.

    \b
      router flows import --dry-run
      router flows import --yes

    The flows keep Twilio's SIDs. Everything is read and checked, and the changes are shown, before the first flow is
    written. No flow is removed. A second import applies the changes made at Twilio since the first. The exit status is
    1 if Twilio has records that cannot be flows of the router; the command names each of them.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    how = How(dry_run, yes, as_json)
    found, around = compare_live(here), here.around
    if not as_json and found.changes:
        print_changes(found.changes, lambda flow: of_flow(flow, around))
    if not as_json:
        print_left_out(found.left_out)
        if not found.changes:
            click.echo(f"Nothing to change: Twilio has {found.read:,} flows and addresses.")
    outcome = carry_out(here.store, found.changes, how, by="router flows import", again="import again for the rest")
    if as_json:
        left_out = [asdict(each) for each in found.left_out]
        print_json({"changes": described(found.changes), "left_out": left_out, "written": outcome.written})
    if found.left_out:
        raise RouterError(f"{len(found.left_out):,} of {found.read:,} flows and addresses cannot be imported")


def compare_live(here: Here) -> Comparison:
    """Read the whole account at Twilio, and compare it with the router's flows; may raise RouterError."""
    account, live = here.account, LiveAccount(here.settings, here.account)
    records = [*watched("Reading FlexFlows", live.flex_flows()), *watched("Reading addresses", live.addresses())]
    return compare(
        records,
        current_flows(here.store, account.sid),
        account_sid=account.sid,
        handlers=here.settings.handlers_of(account.sid),
        now=int(time.time()),
    )


def print_left_out(left_out: Iterable[LeftOut]) -> None:
    """Print which records of Twilio cannot be flows of the router, and why."""
    for each in left_out:
        click.echo(f"! left out  {clean(str(each))}")
