"""The messages that the tests send, and the dialers that they send with."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from socket import AF_INET, AF_INET6, SOCK_STREAM
from typing import Any, Final
from urllib.parse import urlencode

import gevent

from router.flow.flex_flow import FlexFlow, Integration
from router.integrations import Integrations, build
from router.integrations.base import Attempt
from router.integrations.dialer import Dialer, make_dialer
from router.integrations.resolver import AddressInfo, Resolver
from router.message.inbound import Message
from router.message.raw import FORM, Raw
from router.settings import Account, Settings, load
from router.settings.handler import HandlerSetting
from tests.integrations.target import CERTIFICATE

ACCOUNT_SID: Final = "AC" + "0a" * 16
TOKEN: Final = "the-token-in-use"
NEXT_TOKEN: Final = "the-token-to-come"
FLOW_SID: Final = "FO" + "0f" * 16
STUDIO_SID: Final = "FW" + "0b" * 16
PROXY_SID: Final = "KS" + "0c" * 16
MESSAGE_SID: Final = "SM" + "0d" * 16

FIELDS: Final = (
    ("AccountSid", ACCOUNT_SID),
    ("MessageSid", MESSAGE_SID),
    ("From", "+15551230001"),
    ("To", "+15551230002"),
    ("Body", "Hola, ¿qué tal? & más + 100 %"),
    ("NumMedia", "0"),
)
RAW: Final = Raw("POST", FORM, urlencode(FIELDS).encode(), "a=b", "the-idempotency-token")


def settings(webhooks_url: str = "https://webhooks.twilio.com", **environ: str) -> Settings:
    """Make the settings of a process with one account; loopback is allowed unless `environ` says otherwise."""
    return load(
        {
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "ROUTER_TWILIO_WEBHOOKS_URL": webhooks_url,
            "ROUTER_ALLOWED_NETWORKS": "127.0.0.0/8",
            **environ,
        }
    )


def account(made: Settings) -> Account:
    """Return the account, with a second auth token."""
    return made.accounts[0].model_copy(update={"auth_tokens": (TOKEN, NEXT_TOKEN)})


def flow(kind: str, **integration: Any) -> FlexFlow:
    """Make a flow of an integration type."""
    return FlexFlow(
        sid=FLOW_SID,
        account_sid=ACCOUNT_SID,
        friendly_name="Test",
        chat_service_sid="IS" + "0e" * 16,
        channel_type="sms",
        contact_identity="+15551230002",
        integration=Integration(type=kind, **integration),
    )


def attempt(made: Settings, to: FlexFlow, raw: Raw = RAW, **changes: Any) -> Attempt:
    """Make a first attempt at delivering a message; `changes` are fields of Attempt."""
    message = Message.parse(raw.fields() or FIELDS)
    made_attempt = Attempt(account=account(made), flow=to, message=message, raw=raw, number=1)
    return replace(made_attempt, **changes)


def message_of(body: str) -> Raw:
    """Return the request of the message with another text."""
    return replace(RAW, body=urlencode(dict(FIELDS) | {"Body": body}).encode())


def integrations(made: Settings, handlers: Mapping[str, HandlerSetting] | None = None, **names: str) -> Integrations:
    """Build the senders; only the host names in `names` resolve (`target_test="127.0.0.1"`)."""
    return build(made, handlers or {}, dialer=dialer(made, **names))


def dialer(made: Settings, **names: str) -> Dialer:
    """Make a dialer with these name servers and trust in the certificate of target.test."""

    def lookup(host: str, port: int) -> list[AddressInfo]:
        addresses = names.get(host.replace(".", "_"))
        if addresses is None:
            raise OSError(-2, "Name or service not known")
        return [info(address, port) for address in addresses.split()]

    return replace(make_dialer(made, ssl.create_default_context(cafile=CERTIFICATE)), resolver=Resolver(lookup))


def meanwhile(condition: Callable[[], object], within: float = 10.0) -> None:
    """Let greenlets run until the condition holds, as `wait_until` does where gevent has patched everything."""
    with gevent.Timeout(within):
        while not condition():
            gevent.sleep(0.002)


def info(address: str, port: int) -> AddressInfo:
    """Return an address in the form of getaddrinfo."""
    if ":" in address:
        return (AF_INET6, SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (AF_INET, SOCK_STREAM, 6, "", (address, port))
