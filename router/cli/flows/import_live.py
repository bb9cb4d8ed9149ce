"""`router flows import`: the FlexFlows and Address Configurations of a live account, from Twilio."""

import time
from dataclasses import asdict

import click

from router.cli.context import load_settings_for_cli
from router.cli.flows.changes import How, carry_out, current_flows, described
from router.cli.flows.live import Comparison, compare, read_live
from router.cli.output import clean, print_changes, print_json
from router.cli.reach import account_option, json_option, one_account, open_store
from router.errors import RouterError
from router.flow.warning import Surroundings, of_flow
from router.settings import Account, Settings
from router.store import Store
from router.twilio_api.flows import LiveAccount


@click.command("import")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@account_option
@json_option
def import_(*, dry_run: bool, yes: bool, account: str | None, as_json: bool) -> None:
    """Take the FlexFlows and Address Configurations of the live account over from Twilio.

    \b
      router flows import --dry-run
      router flows import --yes

    SIDs stay those of Twilio. Everything is read and checked, and what would change is shown, before the first flow is
    written; nothing is removed. Done again, it brings what has changed at Twilio since. Exits with 1 when Twilio has
    records that cannot be flows here; it names each.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    how = How(dry_run, yes, as_json)
    how.check()
    settings = load_settings_for_cli()
    with open_store(settings) as store:
        owner = one_account(settings, account)
        found = compare_live(owner, settings, store)
        if not as_json:
            _show(found, settings)
        written = bool(found.changes) and carry_out(
            store, found.changes, how, by="router flows import", again="import again for the rest"
        )
    if as_json:
        left_out = [asdict(each) for each in found.left_out]
        print_json({"changes": described(found.changes), "left_out": left_out, "written": written})
    if found.left_out:
        raise RouterError(f"{len(found.left_out):,} of {found.read:,} flows and addresses cannot be here as they are")


def _show(found: Comparison, settings: Settings) -> None:
    around = Surroundings.of(settings)
    if found.changes:
        print_changes(found.changes, lambda flow: of_flow(flow, around))
    print_left_out(found)
    if not found.changes:
        click.echo(f"Nothing to change: Twilio has {found.read:,} flows and addresses.")


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
