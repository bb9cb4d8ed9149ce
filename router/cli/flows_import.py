"""`router flows import`: the FlexFlows and Address Configurations of a live account, from Twilio."""

import time

import click

from router.cli.context import load_settings_for_cli
from router.cli.doubt import doubts
from router.cli.flow_changes import agreed, current_flows, write_changes
from router.cli.live import Comparison, compare, read_live
from router.cli.reach import account_option, one_account, open_store
from router.cli.show import clean, print_changes
from router.errors import RouterError
from router.integrations.rest.flows import LiveAccount
from router.settings import Account, Settings
from router.store import Store


@click.command("import")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@account_option
def import_(*, dry_run: bool, yes: bool, account: str | None) -> None:
    """Take the FlexFlows and Address Configurations of the live account over from Twilio.

    \b
      router flows import --dry-run
      router flows import --yes

    SIDs stay those of Twilio. Everything is read and checked, and what would change is shown, before the first flow is
    written; nothing is removed. Done again, it brings what has changed at Twilio since. Exits with 1 when Twilio has
    records that cannot be flows here; it names each.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        owner = one_account(settings, account)
        found = compare_live(owner, settings, store)
        if found.changes:
            print_changes(found.changes, lambda flow: doubts(flow, owner))
        print_left_out(found)
        if not found.changes:
            click.echo(f"Nothing to change: Twilio has {found.read:,} flows and addresses.")
        elif dry_run:
            click.echo("Nothing was changed: this was a dry run.")
        elif yes or agreed(found.changes):
            write_changes(store, found.changes, by="router flows import", again="import again for the rest")
            click.echo("Done. The next message is routed by it.")
        else:
            raise RouterError("nothing was changed")
    if found.left_out:
        raise RouterError(f"{len(found.left_out):,} of {found.read:,} flows and addresses cannot be here as they are")


def compare_live(account: Account, settings: Settings, store: Store) -> Comparison:
    """Read the live account, and compare it with the flows here; raise RouterError when Twilio does not answer."""
    return compare(
        read_live(LiveAccount(settings, account)),
        current_flows(store, account.sid),
        account_sid=account.sid,
        handlers=settings.handlers_of(account.sid),
        now=int(time.time()),
    )


def print_left_out(found: Comparison) -> None:
    """Say which records of Twilio cannot be flows here, and why."""
    for each in found.left_out:
        click.echo(f"! left out  {clean(str(each))}")
