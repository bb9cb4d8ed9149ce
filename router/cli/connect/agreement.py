"""Before webhooks are changed: the account must be a real one, the changes are shown, and the user agrees."""

from collections.abc import Sequence
from typing import Final

import click

from router.cli.confirm import confirm
from router.cli.run.demo import is_made_up
from router.errors import RouterError
from router.settings import Account, Settings
from router.twilio_api.webhook_values import shown, wanted
from router.twilio_api.webhooks import Place

CONNECTED: Final = "Connected. Ctrl-C restores the previous webhook."


def real_account(settings: Settings, account: Account) -> Account:
    """Return the account; raise RouterError if it is the demo account, which Twilio does not know."""
    if is_made_up(settings):
        raise RouterError(
            f"{account.sid} is the demo account, which Twilio does not know: set TWILIO_ACCOUNT_SID and "
            "TWILIO_AUTH_TOKEN, and start the router again"
        )
    return account


def show(places: Sequence[Place], base: str) -> None:
    """Print the current and the new value of each field of the webhooks."""
    for place in places:
        click.echo(f"\n{place.name}  ({place.sid})")
        for field, value in wanted(place.kind, base).items():
            now = place.values[field]
            click.echo(f"  {field:30}  {shown(now)}")
            if now != value:
                click.echo(f"  {'':30}  → {shown(value)}")


def agree(warnings: Sequence[str], *, yes: bool) -> None:
    """Print warnings, and ask for confirmation if there are any; raise RouterError if the answer is no."""
    for each in warnings:
        click.echo(f"! {each}", err=True)
    if warnings and not yes:
        confirm("Change it anyway?")
