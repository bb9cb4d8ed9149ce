"""All settings of a process: the name, type, default and help of each."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from router.environment import listed
from router.settings.account import Account, ApiKey
from router.settings.handler import BUILT_IN, Handlers, HandlerSetting
from router.settings.value import BaseUrl, Duration, Kind, Network, Password, Switch, Table, host_and_port, store_url

# An attempt ends this long before its lease does, everything included (docs/lanes.md): this guarantees the order.
LEASE_MARGIN: Final = 8.0
# Twilio waits 15 s for an answer: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
TWILIO_WAITS: Final = 15.0


class Settings(Table):
    """All settings of a process. Times are seconds unless the name says otherwise."""

    accounts: Annotated[tuple[Account, ...], Kind("tables")] = Field(default=(), description="The accounts")
    handlers: Annotated[Handlers, Kind("table")] = Field(
        default={},
        validate_default=True,
        description='Functions that flows may name: `name = "package.module:function"`, or for some accounts only '
        '`name = { path = "package.module:function", accounts = ["AC…"] }`. `echo` is built in',
    )
    bind: Annotated[str, AfterValidator(host_and_port), Kind("host:port")] = Field(
        default="127.0.0.1:8000", description="The address and port to listen on"
    )
    workers: Annotated[int, Kind("integer"), Field(ge=1, le=1024)] = Field(
        default_factory=lambda: os.cpu_count() or 1, description="The number of worker processes"
    )
    tunnel_port: Annotated[int | None, Kind("integer"), Field(ge=1, lt=2**16)] = Field(
        default=None,
        description="A second port, on 127.0.0.1, for tunnels: it serves only `/webhooks/`. By default `router run` "
        "chooses the port after that of ROUTER_BIND, or any free port",
    )
    redis_url: Annotated[Annotated[str, AfterValidator(store_url)] | None, Kind("URL")] = Field(
        default=None,
        repr=False,
        description="The store, Redis 7.0 or later, or Valkey 7.2 or later: `redis://`, `rediss://`, `unix://`, "
        "`redis+sentinel://`, `rediss+sentinel://`, `redis+cluster://` or `rediss+cluster://`. By default `router run` "
        "starts its own store",
    )
    redis_replicas: Annotated[int, Kind("integer"), Field(ge=0, le=100)] = Field(
        default=0,
        description="How many replicas of the store must confirm a message before the router acknowledges it",
    )
    allow_volatile_store: Annotated[Switch, Kind("true or false")] = Field(
        default=False,
        description="Whether to accept messages although the store has no append-only file. Such a store may lose all "
        "messages when it restarts",
    )
    data_dir: Annotated[Path, Kind("path")] = Field(
        default=Path("var"), description="The folder where `router run` keeps its store and the demo account"
    )
    public_urls: Annotated[tuple[BaseUrl, ...], BeforeValidator(listed), Kind("list of URLs")] = Field(
        default=(),
        repr=False,  # a URL given to Twilio may contain a password
        description="The base URLs at which Twilio reaches the router, exactly as they are set at Twilio. Without one, "
        "the router accepts signatures only for localhost, for the address of `router tunnel`, and for the host that "
        "a trusted proxy names",
    )
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(listed), Kind("list of networks")] = Field(
        default=(),
        description="The networks of your front proxies. They must overwrite `X-Forwarded-Host` and "
        "`X-Forwarded-Proto`, which the router uses when no public URL is set, and add to `X-Forwarded-For`",
    )
    admin_password: Annotated[Password | None, Kind("secret")] = Field(
        default=None, repr=False, description="The password of the web console, at least 10 characters"
    )
    viewer_password: Annotated[Password | None, Kind("secret")] = Field(
        default=None,
        repr=False,
        description="A second password, with which people can read the console but not change anything",
    )
    twilio_webhooks_url: Annotated[BaseUrl, Kind("URL")] = Field(
        default="https://webhooks.twilio.com", description="The base URL of Twilio's Proxy and Studio webhooks"
    )
    twilio_api_url: Annotated[BaseUrl | None, Kind("URL")] = Field(
        default=None, description="When set, every call of Twilio's REST API goes to this base URL, with the same path"
    )
    allowed_networks: Annotated[tuple[Network, ...], BeforeValidator(listed), Kind("list of networks")] = Field(
        default=(), description="Private networks, and addresses of this machine, to which the router may send"
    )
    lease_seconds: Annotated[Duration, Kind("seconds"), Field(ge=LEASE_MARGIN + 1, le=600)] = Field(
        default=30.0,
        description="How long a process may hold the lease of a conversation. An attempt ends 8 s before that; a "
        "graceful stop may take 10 s longer, at least 40 s",
    )
    relay_seconds: Annotated[Duration, Kind("seconds"), Field(lt=TWILIO_WAITS)] = Field(
        default=10.0,
        description="How long the router waits for an answer to relay, from the request's arrival; Twilio waits 15 s",
    )
    deliveries: Annotated[int, Kind("integer"), Field(ge=4, le=100_000)] = Field(
        default=256,
        description="How many messages one process delivers at a time, at most a quarter of them to one target",
    )
    retry_delays: Annotated[
        tuple[Annotated[Duration, Field(gt=0)], ...], BeforeValidator(listed), Kind("list of seconds")
    ] = Field(
        default=(1.0, 5.0, 15.0, 60.0, 300.0),
        min_length=1,
        description="The pauses between attempts; the last one repeats",
    )
    delivered_hours: Annotated[Duration, Kind("hours"), Field(gt=0)] = Field(
        default=24.0,
        description="How long delivered messages are kept; a duplicate within this time gets the first answer again",
    )
    recover: Annotated[Switch, Kind("true or false")] = Field(
        default=True,
        description="Whether to fetch from Twilio, after an outage, the messages that the router could not accept, "
        "except messages that another program, such as your fallback URL, may have handled",
    )
    retention_days: Annotated[Duration, Kind("days"), Field(gt=0)] = Field(
        default=7.0, description="How long undelivered and unrouted messages are kept"
    )
    sticky_hours: Annotated[Duration, Kind("hours")] = Field(
        default=24.0, description="How long an idle conversation stays with the flow that was chosen for it"
    )
    late_answer_seconds: Annotated[Duration, Kind("seconds")] = Field(
        default=300.0,
        description="An answer that comes after Twilio's request was answered is sent only if the message is not older "
        "than this",
    )

    @field_validator("accounts")
    @classmethod
    def _sids_are_unique(cls, accounts: tuple[Account, ...]) -> tuple[Account, ...]:
        sids = [account.sid.lower() for account in accounts]
        keys = [key.sid.lower() for account in accounts for key in account.api_keys]
        for what, found in (("account", sids), ("API key", keys)):
            if len(set(found)) < len(found):
                raise ValueError(f"one {what}'s sid is given twice")
        return accounts

    @field_validator("viewer_password")
    @classmethod
    def _viewers_change_nothing(cls, password: str | None, info: Any) -> str | None:
        if password is not None and password == info.data.get("admin_password"):
            raise ValueError("is the same as ROUTER_ADMIN_PASSWORD, which allows changes: choose another one")
        return password

    @field_validator("tunnel_port")
    @classmethod
    def _is_another_port(cls, port: int | None, info: Any) -> int | None:
        if port is not None and info.data.get("bind", "").rpartition(":")[2] == str(port):
            raise ValueError("is the port of ROUTER_BIND; choose another port for the tunnel")
        return port

    @field_validator("handlers")
    @classmethod
    def _accounts_are_known(cls, handlers: Mapping[str, HandlerSetting], info: Any) -> Mapping[str, HandlerSetting]:
        known = {account.sid for account in info.data.get("accounts", ())}
        for name, handler in handlers.items():
            if unknown := next((sid for sid in handler.accounts if sid not in known), None):
                raise ValueError(f"{name}: {unknown} is not one of the accounts in these settings")
        return BUILT_IN | dict(handlers)

    @property
    def attempt_seconds(self) -> float:
        """The time limit of one attempt, everything included."""
        return self.lease_seconds - LEASE_MARGIN

    @property
    def stop_seconds(self) -> float:
        """The time limit of a graceful stop: open connections, then the attempts under way. 40 s at least."""
        return max(40.0, self.lease_seconds + 10.0)

    @cached_property
    def by_sid(self) -> Mapping[str, Account]:
        """The accounts by their SIDs."""
        return {account.sid: account for account in self.accounts}

    @cached_property
    def by_api_key(self) -> Mapping[str, tuple[Account, ApiKey]]:
        """The API keys by their SIDs, each with its account."""
        return {key.sid: (account, key) for account in self.accounts for key in account.api_keys}

    def account(self, sid: str) -> Account | None:
        """Return the account, or None if it is not in these settings."""
        return self.by_sid.get(sid)

    def handlers_of(self, account_sid: str) -> frozenset[str]:
        """Return the names of the handlers that flows of an account may name."""
        return frozenset(
            name for name, handler in self.handlers.items() if not handler.accounts or account_sid in handler.accounts
        )


# In the file and the environment a list has the name of one item.
KEYS: Final = {"accounts": "account", "public_urls": "public_url"}
ATTRIBUTES: Final = {KEYS.get(attribute, attribute): attribute for attribute in Settings.model_fields}
TABLES: Final = ("account", "handlers")
