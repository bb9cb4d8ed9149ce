"""Checks over the network: the accounts and their addresses at Twilio, and the targets of flows."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from router import tunnel_address as tunnel
from router.flow.flex_flow import FlexFlow
from router.flow.integration_type import integration_type
from router.integrations import AttemptError
from router.integrations.dialer import Dialer, make_dialer
from router.integrations.location import locate
from router.queries.checks import Check, State
from router.queries.flow_warnings import without_flow
from router.settings import Account, Settings
from router.store import Store
from router.twilio_api.account import Address, TwilioApi
from router.twilio_api.client import TwilioError
from router.twilio_api.resources import Resources

# The maximum number of targets to connect to, and the seconds that all of them together may take.
_TARGETS: Final = 100
_TARGETS_SECONDS: Final = 30.0
_FLOWS: Final = 10_000
_SHOWN: Final = 10


def public_bases(settings: Settings) -> tuple[str, ...]:
    """Return the base URLs that may be set at Twilio: the public URLs, and the address of the open tunnel."""
    here = tunnel.read(settings.data_dir)
    return (*settings.public_urls, *([here] if here else []))


def twilio(settings: Settings, account: Account, store: Store | None) -> Iterator[Check]:
    """Check the credentials of an account, and the webhooks of its addresses at Twilio."""
    accepted = ""
    for n, token in enumerate(account.auth_tokens):
        try:
            status = TwilioApi(settings, account, token).status()
        except TwilioError as error:
            if not error.unauthorized:
                advice = "check this machine's connection to the Internet, and ROUTER_TWILIO_API_URL if it is set"
                yield Check("Twilio", "bad", str(error), advice)
                return
            advice = "compare it with the Console; after a rotation put the new primary token first"
            if n:
                advice = "Twilio no longer uses it: remove it from auth_tokens"
            yield Check("Twilio", "look" if n else "bad", f"auth_token[{n}] of {account.sid} is not accepted", advice)
            continue
        accepted = accepted or token
        state: State = "good" if status == "active" else "bad"
        advice = "" if state == "good" else "a suspended account receives no webhooks: see the Console"
        yield Check("Twilio", state, f"auth_token[{n}] of {account.sid} is accepted; the account is {status}", advice)
    if accepted:
        yield from _addresses(settings, account, TwilioApi(settings, account, accepted), store)


def _addresses(settings: Settings, account: Account, api: TwilioApi, store: Store | None) -> Iterator[Check]:
    try:
        found = [("sms", each) for each in api.numbers()]
    except TwilioError as error:
        yield Check("numbers", "bad", str(error), "try again later")
        return
    if store:
        handed_over, found = _split_handed_over(settings, account, found, store)
        yield from handed_over
    try:
        found += [("whatsapp", each) for each in api.senders()]
    except TwilioError as error:  # a beta resource, which not every account has
        yield Check("numbers", "skipped", f"WhatsApp senders: {error}")
    elsewhere, here, unsafe = 0, 0, []
    own: list[tuple[str, str]] = []
    ours = [shown(base) for base in public_bases(settings)]
    for channel, address in found:
        wrong = _wrong(ours, address, channel)
        if not wrong:
            here += 1
            own += [] if address.by else [(channel, address.identity)]  # else a flow of its service may take it
            unsafe += [] if address.fallback_url else [address.identity]
        elif store and any(entry.flows for entry in store.flows.entries(account.sid, [address.identity])):
            base = ours[0] if ours else "https://…"
            where = address.by or "the address"
            advice = f"set the inbound URL of {where} to {base}/webhooks/{channel} at Twilio"
            yield Check("numbers", "bad", f"{address.identity} has a flow, but {wrong}", advice)
        else:
            elsewhere += 1
    yield Check("numbers", "good", f"{here} of {len(found)} addresses of {account.sid} point here")
    if store:
        for each in without_flow(own, account.sid, store)[:_SHOWN]:
            yield Check("numbers", "look", each.text, each.advice)
    if elsewhere:
        yield Check("numbers", "skipped", f"{elsewhere} point elsewhere, and have no flow")
    yield from _without_fallback(unsafe)


def _without_fallback(unsafe: Sequence[str]) -> Iterator[Check]:
    if unsafe:
        which = ", ".join(unsafe[:_SHOWN]) + (" …" if len(unsafe) > _SHOWN else "")
        advice = (
            "set the fallback URL to a second router or to this one: otherwise an inbound message is lost while the "
            "router is down"
        )
        yield Check("numbers", "look", f"no fallback URL: {which}", advice)


def _split_handed_over(
    settings: Settings, account: Account, found: Sequence[tuple[str, Address]], store: Store
) -> tuple[list[Check], list[tuple[str, Address]]]:
    """Return a finding for each number that was handed over to Twilio (`router migrate hand-over`), and the others."""
    api, checks, others = Resources(settings, account), list[Check](), list[tuple[str, Address]]()
    for channel, address in found:
        try:
            is_handed_over = (
                not (address.url or address.by)
                and any(entry.flows for entry in store.flows.entries(account.sid, [address.identity]))
                and api.is_handed_over(address.identity)
            )
        except TwilioError:
            is_handed_over = False
        if is_handed_over:
            sentence = f"{address.identity} is handed over: Twilio creates its Conversations, without the router"
            checks.append(Check("numbers", "good", sentence))
        else:
            others.append((channel, address))
    return checks, others


def _wrong(bases: Sequence[str], address: Address, channel: str) -> str:
    """Return what is wrong with the webhook of an address; "" if it points to this router."""
    by = f" (by {address.by})" if address.by else ""
    url = shown(address.url.partition("#")[0])
    if not url:
        return f"no webhook is set{by}"
    if address.leads_to(bases, channel):
        return ""
    if not bases and url.partition("?")[0].endswith((f"/webhooks/{channel}", "/webhooks/message")):
        return ""
    return f"its webhook{by} is {url.partition('?')[0]}"


def targets(settings: Settings, store: Store) -> Iterator[Check]:
    """Connect to the target of each enabled flow, with the same restrictions as a delivery; nothing is sent."""
    found: dict[str, FlexFlow] = {}
    for account in settings.accounts:
        for n, flow in enumerate(store.flows.walk(account.sid)):
            if flow.enabled and n < _FLOWS:
                found.setdefault(flow.target, flow)
    dialer, end, good, left = make_dialer(settings), time.monotonic() + _TARGETS_SECONDS, 0, 0
    for n, (name, flow) in enumerate(found.items()):
        if n >= _TARGETS or time.monotonic() > end:
            left += 1
        elif problem := _problem(settings, flow, dialer):
            advice = "its messages wait, or become undelivered: repair the target, or change the flow"
            yield Check("flows", "bad", f"{flow.sid} “{flow.friendly_name}”, {name}: {problem}", advice)
        else:
            good += 1
    if left:
        yield Check("flows", "skipped", f"{left} more targets: there are too many, or they are too slow")
    if good or not found:
        yield Check("flows", "good", f"{good} target{'s' * (good != 1)} can be reached" if found else "no enabled flow")


def _problem(settings: Settings, flow: FlexFlow, dialer: Dialer) -> str:
    kind = integration_type(flow.integration.type)
    try:
        if kind.targets == ("url",):
            dialer.dial(locate(flow.integration.url)).close()
        elif kind.redirects:
            dialer.dial(locate(settings.twilio_webhooks_url), trusted=True).close()
    except (AttemptError, ValueError) as error:
        return str(error)
    return ""


def shown(url: str) -> str:
    """Return a URL without credentials."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
