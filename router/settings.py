"""Settings: parsed once at start, from the environment and from the file that ROUTER_CONFIG names.

Each field has its name, type, default and help; the README's table and `router run --help` are derived from them
(`table`). Add a new setting to config/router.toml too, the example that operators copy.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from router import cluster_url, sentinel_url
from router.environment import (
    PREFIX,
    Given,
    check_password,
    check_secret,
    listed,
    read,
    suggestion,
    with_account_of,
)
from router.errors import SettingsError
from router.sid import is_sid
from router.url import is_http_url

# An attempt ends this long before its lease does, everything included (docs/lanes.md): this guarantees the order.
LEASE_MARGIN: Final = 8.0
# Twilio waits 15 s for an answer: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
TWILIO_WAITS: Final = 15.0
# Rate limits do not apply to valid credentials (router/web/auth.py), so these must not be guessable.
_KEY_LEAST: Final = 16  # characters of a generated key; Twilio's have 32
_PASSWORD_LEAST: Final = 10
_REDIS_SCHEMES: Final = ("redis", "rediss", "unix", *sentinel_url.SCHEMES, *cluster_url.SCHEMES)
_HANDLER_NAME: Final = r"[a-z0-9_-]+"
_HANDLER_PATH: Final = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


class Kind(str):
    """The type of a setting, in the words of the documentation."""

    __slots__ = ()


def _sid(prefix: str) -> AfterValidator:
    def check(value: str) -> str:
        if not is_sid(value, prefix):  # without the value, which may be a token in the wrong line
            raise ValueError(f"not a SID of this kind, which is {prefix} and 32 hexadecimal digits")
        return value

    return AfterValidator(check)


def base_url_of(value: str) -> str:
    """Return the base URL as written; raise ValueError with the reason if it is not a base URL."""
    if not is_http_url(value):
        raise ValueError("is not an absolute http or https URL, as https://example.com")
    if "?" in value or "#" in value:
        raise ValueError("has a query or a fragment; a base URL ends with its host or its path")
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    scheme, found, rest = value.partition("://")
    if not found or not rest or scheme not in _REDIS_SCHEMES:
        raise ValueError("does not begin with one of " + ", ".join(f"{scheme}://" for scheme in _REDIS_SCHEMES))
    if scheme in sentinel_url.SCHEMES:
        sentinel_url.SentinelUrl.parse(value)
        return value
    if scheme in cluster_url.SCHEMES:
        cluster_url.ClusterUrl.parse(value)
        return value
    try:
        urlsplit(value).port  # noqa: B018 - raises for an invalid port
    except ValueError:
        raise ValueError("has an invalid port, or a password that is not percent-encoded") from None
    return value


def _bind(value: str) -> str:
    host, colon, port = value.rpartition(":")
    bare = not (":" in host and not (host.startswith("[") and host.endswith("]")))
    if not colon or not bare or not (port.isascii() and port.isdecimal() and int(port) < 2**16):
        raise ValueError(f"is not HOST:PORT, as 127.0.0.1:8000 or [::1]:8000: {value!r}")
    return value


def _at_least(least: int, advice: str) -> AfterValidator:
    def check(value: str) -> str:
        if len(value) < least:  # the error shows neither the value nor its length
            raise ValueError(f"has fewer than {least} characters, so it can be guessed: {advice}")
        return value

    return AfterValidator(check)


def _switch(value: object) -> object:
    found = value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise ValueError("is neither true nor false")
    return found


Secret = Annotated[str, AfterValidator(check_secret)]
Password = Annotated[
    str, AfterValidator(check_password), _at_least(_PASSWORD_LEAST, "take several words, with blanks if you like")
]
Switch = Annotated[bool, BeforeValidator(_switch)]
AccountSid = Annotated[str, _sid("AC")]
BaseUrl = Annotated[str, AfterValidator(base_url_of)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(lambda value: ip_network(str(value)))]
Duration = Annotated[float, Field(ge=0, le=10**8, allow_inf_nan=False)]  # 10**8: about three years in seconds


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            # pydantic would read true as 1
            raise ValueError("is true or false, but this setting is not a switch")
        return value


class SharedKey(_Table):
    """A key that Twilio signs with instead of the auth token. Its algorithm is a setting, never read from a request."""

    id: Annotated[str, Kind("text"), Field(min_length=1)] = Field(description="Twilio's id, `webhooks_sharedkey_…`")
    algorithm: Annotated[Literal["HMAC_SHA1", "HMAC_SHA256"], Kind("`HMAC_SHA256` or `HMAC_SHA1`")] = Field(
        description="The algorithm that the key signs with"
    )
    secret: Annotated[Secret, Kind("secret")] = Field(
        repr=False, description="The secret, which Twilio shows only when the key is created"
    )


class ApiKey(_Table):
    """A key with which a program may use the REST resources of the account."""

    sid: Annotated[str, _sid("SK"), Kind("SK…")] = Field(description="The key's SID")
    secret: Annotated[
        Secret, _at_least(_KEY_LEAST, "take the key's as Twilio shows it, or `openssl rand -hex 16`"), Kind("secret")
    ] = Field(repr=False, description="The key's secret, of 16 characters at least")


class Account(_Table):
    """A Twilio account whose messages the router accepts."""

    sid: Annotated[AccountSid, Kind("AC…")] = Field(description="The account's SID")
    auth_tokens: Annotated[tuple[Secret, ...], BeforeValidator(listed), Kind("list of secrets")] = Field(
        repr=False,
        min_length=1,
        description="Auth tokens in order of preference: the router signs requests with the first",
    )
    shared_keys: Annotated[tuple[SharedKey, ...], Kind("tables")] = Field(
        default=(), description="Keys that Twilio signs with instead of the auth token"
    )
    api_keys: Annotated[tuple[ApiKey, ...], Kind("tables")] = Field(
        default=(), description="Keys with which programs may use the REST resources"
    )
    proxy_service_sid: Annotated[Annotated[str, _sid("KS")] | None, Kind("KS…")] = Field(
        default=None, description="The Proxy service of the flows that do not set Integration.ProxyServiceSid"
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """All of the account's secrets, which no log may show."""
        shared, api = (key.secret for key in self.shared_keys), (key.secret for key in self.api_keys)
        return (*self.auth_tokens, *shared, *api)


class HandlerSetting(_Table):
    """A Python function that flows may send messages to."""

    path: Annotated[str, Kind("`package.module:function`"), Field(pattern=f"^{_HANDLER_PATH}$")] = Field(
        description="The function"
    )
    accounts: Annotated[tuple[AccountSid, ...], BeforeValidator(listed), Kind("list of AC…")] = Field(
        default=(), description="The accounts whose flows may name it; by default all accounts"
    )


def _handler(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


ECHO: Final = "router.demo:handle"
"""The function of the handler `echo`, which every router has: it sends the customer's text back."""

_BUILT_IN: Final = {"echo": HandlerSetting(path=ECHO)}

HandlerName = Annotated[str, Field(pattern=f"^{_HANDLER_NAME}$")]
Handlers = Mapping[HandlerName, Annotated[HandlerSetting, BeforeValidator(_handler)]]


class Settings(_Table):
    """All settings of a process. Times are seconds unless the name says otherwise."""

    accounts: Annotated[tuple[Account, ...], Kind("tables")] = Field(default=(), description="The accounts")
    handlers: Annotated[Handlers, Kind("table")] = Field(
        default={},
        validate_default=True,
        description='Functions that flows may name: `name = "package.module:function"`, or for some accounts only '
        '`name = { path = "package.module:function", accounts = ["AC…"] }`. `echo` is built in',
    )
    bind: Annotated[str, AfterValidator(_bind), Kind("host:port")] = Field(
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
    redis_url: Annotated[Annotated[str, AfterValidator(_redis_url)] | None, Kind("URL")] = Field(
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
        description="How long a process may hold the lease of a conversation; an attempt ends 8 s before that",
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
        return _BUILT_IN | dict(handlers)

    @property
    def attempt_seconds(self) -> float:
        """The time limit of one attempt, everything included."""
        return self.lease_seconds - LEASE_MARGIN

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


def load(environ: Mapping[str, str]) -> Settings:
    """Parse the settings of a process.

    Raises:
        SettingsError: an unknown name, a file that cannot be read, or a value that does not parse. It names
            the setting as the operator wrote it, and never shows a secret.
    """
    given = read(environ, [key for key in _ATTRIBUTES if key not in _TABLES], _TABLES)
    values = {_ATTRIBUTES[key]: value for key, value in given.values.items()}
    accounts = values["accounts"] = with_account_of(environ, values.get("accounts", []))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, given, accounts) from None


def _refusal(error: ValidationError, given: Given, accounts: Any) -> SettingsError:
    """Return the error, with the setting's name as the operator wrote it. Values of secrets are left out."""
    # Unknown names are reported first, because for a misspelt name the error "missing" would be less helpful.
    first, *_ = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    attribute, *rest = (str(part) for part in first["loc"])
    key = _KEYS.get(attribute, attribute)
    name = given.names.get(key, key)
    if attribute == "accounts" and rest and isinstance(accounts, list):
        name = f"[[account]] {_sid_in(accounts[int(rest[0])])}"
        rest = rest[1:]
    name = ", ".join([name, *(part for part in rest if not part.isdecimal() and part != "[key]")])
    shown = Settings.model_fields[attribute].repr and attribute != "accounts"
    return SettingsError(name, _reason(first, shown=shown))


def _sid_in(table: object) -> str:
    sid = table.get("sid") if isinstance(table, dict) else None
    return sid if isinstance(sid, str) and is_sid(sid, "AC") else "without a valid sid"


def _reason(error: Any, *, shown: bool) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return "missing"
    if error["type"] == "extra_forbidden":
        tables: dict[Any, type[_Table]] = {"shared_keys": SharedKey, "api_keys": ApiKey, "handlers": HandlerSetting}
        model = next((tables[part] for part in reversed(error["loc"]) if part in tables), Account)
        return f"no such key{suggestion(str(error['loc'][-1]), model.model_fields)}"
    reason = error["msg"][:1].lower() + error["msg"][1:]
    value = error["input"]
    return f"{reason}, not {value!r}" if shown and isinstance(value, str | int | float) else reason


@dataclass(frozen=True, slots=True)
class Row:
    """A setting in the documentation. `variable` is "" for a setting that only the file may have."""

    variable: str
    key: str
    type: str
    default: str
    help: str


# In the file and the environment a list has the name of one item.
_KEYS: Final = {"accounts": "account", "public_urls": "public_url"}
_ATTRIBUTES: Final = {_KEYS.get(attribute, attribute): attribute for attribute in Settings.model_fields}
_TABLES: Final = ("account", "handlers")
_DEFAULT_TEXTS: Final = {"workers": "one per core"}
_FIRST_ROWS: Final = (
    Row("TWILIO_ACCOUNT_SID", "", "AC…", "", "The account; several accounts are [[account]] tables in the file"),
    Row("TWILIO_AUTH_TOKEN", "", "secret", "", "The account's auth token"),
    Row("ROUTER_CONFIG", "", "path", "", "A TOML file with settings; the environment takes precedence over it"),
)


def table() -> list[Row]:
    """Return all settings for the documentation; those that only the file may have are last."""
    rows = [*_FIRST_ROWS]
    for attribute, key in ((name, _KEYS.get(name, name)) for name in Settings.model_fields):
        if key not in _TABLES:
            rows.append(_row(key, Settings.model_fields[attribute], variable=PREFIX + key.upper()))
    tables: dict[str, type[_Table]] = {
        "account": Account,
        "account.shared_keys": SharedKey,
        "account.api_keys": ApiKey,
    }
    for prefix, model in tables.items():
        rows += [_row(f"{prefix}.{name}", field) for name, field in model.model_fields.items()]
    return [*rows, _row("handlers", Settings.model_fields["handlers"])]


def _row(key: str, field: FieldInfo, *, variable: str = "") -> Row:
    kind = next(each for each in field.metadata if isinstance(each, Kind))
    return Row(variable, key, str(kind), _DEFAULT_TEXTS.get(key) or _text(field.default), field.description or "")


def _text(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(_text(each) for each in default)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default in (None, {}, PydanticUndefined) else str(default)
