"""What can be checked only from outside: the public URL, what Twilio has on record, and whether targets answer."""

import http.client
import secrets
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from router.cli.call import send
from router.cli.checks import Check, State
from router.errors import RouterError
from router.flow import FlexFlow
from router.integrations import AttemptError, target
from router.integrations.door import Door, make_door
from router.integrations.location import locate
from router.integrations.rest.account import Address, TwilioApi
from router.integrations.rest.client import TwilioError
from router.settings import Account, Settings
from router.signature import Key
from router.store import Store

_SECONDS: Final = 5.0
# Targets that are connected to, and the seconds that may take, together.
_TARGETS: Final = 100
_TARGETS_SECONDS: Final = 30.0
_FLOWS: Final = 10_000
_SHOWN: Final = 10
_OK: Final = 200
_FORBIDDEN: Final = 403


def answers(base: str) -> bool:
    """Say whether a router answers at a base of this machine."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == _OK and answer.read(16) == b"ok\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def public_urls(given: Settings) -> Iterator[Check]:
    """Send each public base a signed status callback, as Twilio would: it proves name, proxy, path and signature.

    A status callback has no effect: the router acknowledges it, and that is all.
    """
    if not given.public_urls:
        yield Check("public URL", "skipped", "none is set")
    for base in given.public_urls:
        shown = _shown(base)
        url = f"{base}/webhooks/message"
        account = given.accounts[0]
        form = [
            ("AccountSid", account.sid),
            ("MessageSid", "SM" + secrets.token_hex(16)),
            ("MessageStatus", "delivered"),
            ("ErrorCode", ""),
        ]
        try:
            answered = send(url, form, Key("auth_token[0]", account.auth_tokens[0].encode()))
        except RouterError as error:
            advice = "is the tunnel or proxy up, and the name right? This machine may also be kept from its own address"
            yield Check("public URL", "bad", f"{shown}: {error}", advice)
            continue
        if answered.status == _OK and b"<Response" in answered.body:
            yield Check("public URL", "good", f"{shown}: a signed request came through in {answered.seconds:.2f} s")
        elif answered.status == _FORBIDDEN and answered.body == b"Forbidden":
            advice = (
                "the signature was broken on the way: the newest refusal says what changed; run this again to see it"
            )
            yield Check("public URL", "bad", f"{shown}: refused a signed request", advice)
        else:
            advice = "what answers there is not this router's webhook: check the tunnel's or proxy's target and path"
            yield Check("public URL", "bad", f"{shown}: answered {answered.status}, {answered.content_type}", advice)


def twilio(given: Settings, account: Account, opened: Store | None) -> Iterator[Check]:
    """Look at what Twilio has on record for an account: credentials, and where its addresses point."""
    accepted = ""
    for n, token in enumerate(account.auth_tokens):
        try:
            status = TwilioApi(given, account, token).status()
        except TwilioError as error:
            if not error.unauthorized:
                advice = "check this machine's way to the Internet, and ROUTER_TWILIO_API_URL if it is set"
                yield Check("Twilio", "bad", str(error), advice)
                return
            advice = "compare it with the Console; after a rotation put the new primary token first"
            if n:
                advice = "it is of no use any more: remove it from auth_tokens"
            yield Check("Twilio", "look" if n else "bad", f"auth_token[{n}] of {account.sid} is not accepted", advice)
            continue
        accepted = accepted or token
        state: State = "good" if status == "active" else "bad"
        advice = "" if state == "good" else "a suspended account receives no webhooks: see the Console"
        yield Check("Twilio", state, f"auth_token[{n}] of {account.sid} is accepted; the account is {status}", advice)
    if accepted:
        yield from _addresses(given, account, TwilioApi(given, account, accepted), opened)


def _addresses(given: Settings, account: Account, api: TwilioApi, opened: Store | None) -> Iterator[Check]:
    try:
        found = [("sms", each) for each in api.numbers()]
    except TwilioError as error:
        yield Check("numbers", "bad", str(error), "try again later")
        return
    try:
        found += [("whatsapp", each) for each in api.senders()]
    except TwilioError as error:  # a beta resource, which not every account has
        yield Check("numbers", "skipped", f"WhatsApp senders: {error}")
    elsewhere, here, unsafe = 0, 0, []
    for channel, address in found:
        wrong = _wrong(given, address, channel)
        if not wrong:
            here += 1
            unsafe += [] if address.fallback_url else [address.identity]
        elif opened and any(entry.flows for entry in opened.flows.entries(account.sid, [address.identity])):
            base = _shown(given.public_urls[0]) if given.public_urls else "https://…"
            where = address.by or "the address"
            advice = f"set the inbound URL of {where} to {base}/webhooks/{channel} at Twilio"
            yield Check("numbers", "bad", f"{address.identity} has a flow, and {wrong}", advice)
        else:
            elsewhere += 1
    yield Check("numbers", "good", f"{here} of {len(found)} addresses of {account.sid} point here")
    if elsewhere:
        yield Check("numbers", "skipped", f"{elsewhere} point elsewhere, and no flow names them")
    if unsafe:
        which = ", ".join(unsafe[:_SHOWN]) + (" …" if len(unsafe) > _SHOWN else "")
        advice = "set one, to a second router or to this one: without it an inbound message is lost while this is down"
        yield Check("numbers", "look", f"no fallback URL: {which}", advice)


def _wrong(given: Settings, address: Address, channel: str) -> str:
    """Say what is wrong with an address's webhook; "" when it points here."""
    by = f" (by {address.by})" if address.by else ""
    url = _shown(address.url.partition("#")[0])
    if not url:
        return f"no webhook is set{by}"
    paths = (f"/webhooks/{channel}", "/webhooks/message")
    bases = [_shown(base) for base in given.public_urls]
    if any(url.partition("?")[0] == base + path for base in bases for path in paths):
        return ""
    if not bases and url.partition("?")[0].endswith(paths):
        return ""
    return f"its webhook{by} is {url.partition('?')[0]}"


def targets(given: Settings, opened: Store) -> Iterator[Check]:
    """Connect to the target of each enabled flow, through the guarded door; nothing is sent."""
    found: dict[str, FlexFlow] = {}
    for account in given.accounts:
        for n, flow in enumerate(opened.flows.walk(account.sid)):
            if flow.enabled and n < _FLOWS:
                found.setdefault(target(given, flow), flow)
    door, end, good, left = make_door(given), time.monotonic() + _TARGETS_SECONDS, 0, 0
    for n, (name, flow) in enumerate(found.items()):
        if n >= _TARGETS or time.monotonic() > end:
            left += 1
        elif problem := _problem(given, flow, door):
            advice = "its messages wait or end undelivered: mend the target or the flow, as with `router flows apply`"
            yield Check("flows", "bad", f"{flow.sid} “{flow.friendly_name}”, {name}: {problem}", advice)
        else:
            good += 1
    if left:
        yield Check("flows", "skipped", f"{left} more targets, for there are so many or they are so slow")
    if good or not found:
        yield Check("flows", "good", f"{good} target{'s' * (good != 1)} can be reached" if found else "no enabled flow")


def _problem(given: Settings, flow: FlexFlow, door: Door) -> str:
    kind, what = flow.integration.type, flow.integration
    if kind == "handler":
        known = what.handler in given.handlers_of(flow.account_sid)
        return "" if known else "no such handler in the settings"
    try:
        if kind == "external":
            door.open(locate(what.url)).close()
        elif kind in {"studio", "proxy"}:
            door.open(locate(given.twilio_webhooks_url), trusted=True).close()
    except (AttemptError, ValueError) as error:
        return str(error)
    return ""


def _shown(url: str) -> str:
    """Return a URL without credentials."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
