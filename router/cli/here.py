"""Gives commands the local router: its settings, its store and its accounts."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, wraps
from typing import Any, Final

import click

from router.cli.output import short
from router.cli.running import load_settings_for_cli, running_accounts
from router.errors import RouterError, StoreRefused, StoreUnavailable
from router.flow.flex_flow import FlexFlow
from router.flow.warning import Surroundings
from router.queries.delivery_filter import Wanted
from router.queries.serving import as_running
from router.settings import Account, Settings
from router.sid import is_sid
from router.store import Store, connect
from router.store.deliveries import Delivery

_FLOW: Final = re.compile(r"\bFO[0-9a-f]{32}\b")
# The beginning of a flow's SID, as lists show it: at least six of its digits.
_SHORT: Final = re.compile(r"FO[0-9a-f]{6,31}")
# The maximum number of characters of a flow's name in a step.
_NAME: Final = 40


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Open the store, and close it at the end.

    Raises:
        RouterError: no store is set and no router runs here, or the store does not answer.
    """
    if settings.redis_url is None:
        raise RouterError(
            f"no router runs in {settings.data_dir}: start one with `router run`, or set ROUTER_REDIS_URL to the store "
            "of another router"
        )
    store = connect(settings)
    try:
        yield store
    except StoreRefused:
        raise
    except StoreUnavailable as error:
        raise RouterError(
            f"{error}. Check that the store runs and that ROUTER_REDIS_URL is right; without that setting `router run` "
            "starts a store"
        ) from error
    finally:
        store.close()


class Here:
    """The local router. Settings and store are opened when they are first used; the store is closed with `opened`.

    `account_sid` is the value of `--account`.
    """

    def __init__(self, account_sid: str | None, opened: ExitStack) -> None:
        self.account_sid = account_sid
        self._opened = opened

    @cached_property
    def settings(self) -> Settings:
        """The settings of the running router; may raise SettingsError."""
        return load_settings_for_cli()

    @cached_property
    def store(self) -> Store:
        """The store; raises RouterError as `open_store` does."""
        return self._opened.enter_context(open_store(self.settings))

    @property
    def around(self) -> Surroundings:
        """The configuration of the running router on which warnings about flows depend."""
        return Surroundings.of(as_running(self.settings, self.store))

    @property
    def own_store(self) -> Store | None:
        """The store, or None if no store is set and no router runs here."""
        return self.store if self.settings.redis_url else None

    @property
    def account(self) -> Account:
        """The account that `--account` names, or the only one; raises RouterError as `account_of` does."""
        return self.account_of(self.account_sid)

    def account_of(self, sid: str | None) -> Account:
        """Return the account with this SID; without a SID, the only account.

        Raises:
            RouterError: there is no account, there are several, or the router does not serve it.
        """
        accounts = self._accounts_of(sid)
        if len(accounts) > 1:
            known = ", ".join(account.sid for account in accounts)
            raise RouterError(f"which account? Name one with --account: {known}")
        return accounts[0]

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The account that `--account` names, or all accounts; never empty.

        Raises:
            RouterError: there is no account, or the router does not serve it.
        """
        return self._accounts_of(self.account_sid)

    def _accounts_of(self, sid: str | None) -> tuple[Account, ...]:
        settings = self.settings
        if not settings.accounts and (running := running_accounts(settings)):
            raise RouterError(
                f"the router in {settings.data_dir} serves {', '.join(running)}, but was started with another "
                "environment: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN here as they were set there"
            )
        if not settings.accounts:
            raise RouterError(
                f"no account is set here, and no router runs in {settings.data_dir}: start the demo with `router run`, "
                "or set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
            )
        if sid is None:
            return settings.accounts
        account = settings.account(sid)
        if account is None:
            known = ", ".join(account.sid for account in settings.accounts)
            raise RouterError(f"{sid} is not one of the router's accounts, which are: {known}")
        return (account,)

    def delivery(self, sid: str) -> Delivery:
        """Return the delivery of a message of one of the accounts.

        Raises:
            BadParameter: it is not the SID of a message.
            RouterError: there is no record of the message.
        """
        if not is_sid(sid, "SM", "MM", "IM"):
            raise click.BadParameter(
                f"{sid[:40]!r} is not a MessageSid: SM, MM or IM, and 32 hexadecimal digits", param_hint="SM…"
            )
        for account in self.accounts:
            if delivery := self.store.deliveries.get(account.sid, sid):
                return delivery
        raise RouterError(
            f"no record of {sid}: it never arrived, or its record has expired. `router deliveries list` shows all"
        )

    def flow_sid(self, text: str) -> str:
        """Return the SID of a flow, from the full SID or its beginning, as lists show it.

        Raises:
            BadParameter: it is not a SID or its beginning.
            RouterError: no flow's SID begins like this, or several do.
        """
        if not text or is_sid(text, "FO"):
            return text
        if not _SHORT.fullmatch(text):
            raise click.BadParameter(
                f"{text[:40]!r} is not the SID of a flow: FO and 32 hexadecimal digits, or the first 6 of them at least"
            )
        sids = [sid for account in self.accounts for sid in self.store.flows.beginning(account.sid, text)]
        if len(sids) == 1:
            return sids[0]
        if sids:
            raise RouterError(f"the SIDs of {len(sids)} flows begin with {text}: {', '.join(sorted(sids)[:5])}")
        raise RouterError(f"no flow has a SID that begins with {text}; `router flows list` shows all flows")

    def flow(self, text: str) -> FlexFlow:
        """Return a flow by its SID or the beginning of its SID.

        Raises:
            BadParameter: it is not a SID or its beginning.
            RouterError: there is no such flow, or there are several.
        """
        sid = self.flow_sid(text)
        for account in self.accounts:
            if sid and (flow := self.store.flows.get(account.sid, sid)):
                return flow
        raise RouterError(f"no flow {sid or '(empty)'}; `router flows list` shows all flows")

    def wanted(self, wanted: Wanted) -> Wanted:
        """Return the filter with the full SID of its flow, which may be only the beginning."""
        return replace(wanted, flex_flow_sid=self.flow_sid(wanted.flex_flow_sid))

    def with_names(self, steps: Sequence[str], account_sid: str) -> list[str]:
        """Add the names of Flex Flows after their SIDs in the steps of a route, if the flows still exist."""
        sids = dict.fromkeys(sid for step in steps for sid in _FLOW.findall(step))
        flows = {sid: flow for sid in sids if (flow := self.store.flows.get(account_sid, sid))}

        def named(match: re.Match[str]) -> str:
            flow = flows.get(match[0])
            return f"{match[0]} “{short(flow.friendly_name, _NAME)}”" if flow else match[0]

        return [_FLOW.sub(named, step) for step in steps]


def with_here(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the local router as its first argument, and the option `--account`."""

    @click.option("--account", metavar="AC…", help="The account, if the router serves several. [the only one]")
    @wraps(function)
    def command(*, account: str | None, **options: Any) -> None:
        with ExitStack() as opened:
            function(Here(account, opened), **options)

    return command
