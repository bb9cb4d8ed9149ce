"""What a command reaches: the store of the router that runs here, and the accounts it serves."""

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from router.cli.context import running_accounts
from router.cli.output import short
from router.errors import RouterError, StoreRefused, StoreUnavailable
from router.settings import Account, Settings
from router.sid import is_sid
from router.store import Store, connect
from router.store.deliveries import Delivery

_AGE = re.compile(r"(\d{1,9})\s*([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FLOW = re.compile(r"\bFO[0-9a-f]{32}\b")
# Characters of a flow's name in a step.
_NAME: Final = 40


@contextlib.contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Give the store for as long as a command needs it.

    Raises:
        RouterError: none is named and none runs, or it does not answer; the sentence says what to do.
    """
    if settings.redis_url is None:
        raise RouterError(
            f"no router runs in {settings.data_dir}: start one with `router run`, or set ROUTER_REDIS_URL to the store "
            "of another"
        )
    store = connect(settings)
    try:
        yield store
    except StoreRefused:
        raise
    except StoreUnavailable as error:
        raise RouterError(f"{error}. Does the router run? `router run` starts it, with its store") from error
    finally:
        store.close()


def one_account(settings: Settings, sid: str | None) -> Account:
    """Return the account that a command is about: the one that is named, or the only one.

    Raises:
        RouterError: there is none, there are several, or it is not one of ours.
    """
    accounts = some_accounts(settings, sid)
    if len(accounts) > 1:
        known = ", ".join(account.sid for account in accounts)
        raise RouterError(f"which account? Name one with --account: {known}")
    return accounts[0]


def some_accounts(settings: Settings, sid: str | None) -> tuple[Account, ...]:
    """Return the account that is named, or all of them; never none.

    Raises:
        RouterError: there is none, or it is not one of ours.
    """
    if not settings.accounts and (running := running_accounts(settings)):
        raise RouterError(
            f"the router in {settings.data_dir} serves {', '.join(running)}, but was started with another environment: "
            "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN here as they were set there"
        )
    if not settings.accounts:
        raise RouterError(
            "no account is known here: start the demo with `router run`, or set TWILIO_ACCOUNT_SID and "
            "TWILIO_AUTH_TOKEN"
        )
    if sid is None:
        return settings.accounts
    account = settings.account(sid)
    if account is None:
        known = ", ".join(account.sid for account in settings.accounts)
        raise RouterError(f"{sid} is not one of the router's accounts, which are: {known}")
    return (account,)


def find_delivery(store: Store, accounts: Sequence[Account], sid: str) -> Delivery:
    """Return the delivery of a message, of whichever account it is.

    Raises:
        BadParameter: it is no message's SID.
        RouterError: there is no record of it.
    """
    if not is_sid(sid, "SM", "MM"):
        raise click.BadParameter(f"{sid[:40]!r} is not SM or MM and 32 hexadecimal digits", param_hint="SM…")
    for account in accounts:
        if delivery := store.deliveries.get(account.sid, sid):
            return delivery
    raise RouterError(
        f"no record of {sid}: it never came in, or it has expired. `router deliveries list` shows what there is"
    )


def with_names(steps: Sequence[str], account_sid: str, store: Store) -> list[str]:
    """Write the names of Flex Flows after their SIDs in the steps of a route, where the flows are still there."""
    sids = dict.fromkeys(sid for step in steps for sid in _FLOW.findall(step))
    flows = {sid: flow for sid in sids if (flow := store.flows.get(account_sid, sid))}

    def named(found: re.Match[str]) -> str:
        flow = flows.get(found[0])
        return f"{found[0]} “{short(flow.friendly_name, _NAME)}”" if flow else found[0]

    return [_FLOW.sub(named, step) for step in steps]


account_option = click.option(
    "--account", metavar="AC…", help="The account, where the router serves several. [the only one]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")


class Moment(click.ParamType[int]):
    """A time as people say it: an age (`90s`, `15m`, `1h`, `2d`) or ISO 8601. Its value is in ms since 1970."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it; an ISO time without a zone is this machine's."""
        if isinstance(value, int):
            return value
        if age := _AGE.fullmatch(value.strip()):
            return int((time.time() - int(age[1]) * _UNITS[age[2]]) * 1000)
        try:
            return int(datetime.fromisoformat(value).astimezone(UTC).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither an age, as 90s, 15m, 1h or 2d, nor a time, as 2026-05-31T22:00", param, ctx
            )


class Parameter(click.ParamType[tuple[str, str]]):
    """A parameter of a webhook, `Name=Value`. Its value is the pair."""

    name = "parameter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it at the first `=`; the value may be empty."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not Name=Value, as ButtonPayload=yes", param, ctx)
        return name, text


since_option = click.option(
    "--since", type=Moment(), metavar="AGE|TIME", help="Only those accepted since: 90s, 15m, 1h, 2d, or an ISO time."
)
