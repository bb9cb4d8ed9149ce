"""Checks what a migration needs at Twilio: webhook, Messaging Service, opt-outs, Proxy sessions, no auto-creation."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message
from router.printable import number
from router.queries.checks import Check, resources
from router.queries.checks.outside import public_bases
from router.queries.migration import obstacle, overview
from router.settings import Account, Settings
from router.store import Store
from router.twilio_api.account import TwilioApi
from router.twilio_api.client import TwilioError
from router.twilio_api.resources import Resources

# The number of the account's newest messages that are searched for opt-outs, and their maximum age in seconds.
_MESSAGES: Final = 5_000
_SECONDS: Final = 30 * 86_400
_NUMBER: Final = "sms"
# The maximum number of flows that the doctor reads to find migrations, and of migrations that it checks.
_READ: Final = 10_000
_FLOWS: Final = 10


def checks(settings: Settings, account: Account, pair: tuple[FlexFlow, FlexFlow], store: Store) -> Iterator[Check]:
    """Check everything that a migration from one flow to another one needs."""
    old, new = pair
    if reason := obstacle(old, new):
        yield Check("flows", "bad", reason, "write the flow again, as docs/leaving-proxy.md shows it")
    else:
        yield Check("flows", "good", f"{new.sid} can take over from {old.sid}")
    api = Resources(settings, account)
    for flow in (replace(old, migrate_to=new.sid), new):
        found = list(resources.of_flow(flow, account, api, store))
        yield from found
        if all(each.state == "good" for each in found):
            yield Check("resources", "good", f"{resources.named(flow)}: {_good(flow)}")
    yield from around(settings, account, old, store)


def of_account(settings: Settings, account: Account, store: Store) -> Iterator[Check]:
    """Check what the migrations of an account need, except the resources that their flows name."""
    for old in overview(account.sid, store, most=_READ).ways[:_FLOWS]:
        yield from around(settings, account, old.old, store)


def _good(flow: FlexFlow) -> str:
    """Return what is correct, in words."""
    facts = ["all resources that it names exist"]
    if flow.integration.type == "conversation":
        facts += ["its Studio flow has the trigger Incoming Conversation"] if flow.integration.flow_sid else []
        facts += ["auto-creation of its address is off"] if resources.may_auto_create(flow) else []
    return ", ".join(facts)


def around(settings: Settings, account: Account, old: FlexFlow, store: Store) -> Iterator[Check]:
    """Check the address, the opt-outs and the sessions of Proxy."""
    if old.channel_type == _NUMBER and old.contact_identity.startswith("+"):
        try:
            yield from _number(settings, account, old.contact_identity)
        except TwilioError as error:
            yield Check("webhook", "look", f"{old.contact_identity} could not be read: {error}", "try again later")
    else:
        found = f"{old.contact_identity}: its webhook and Messaging Service are looked up for numbers only"
        yield Check("webhook", "skipped", found, "look at its inbound webhook in Twilio's Console")
    yield _opt_outs(old, store)
    if old.integration.type == "proxy":
        yield _sessions(old, store)


def _number(settings: Settings, account: Account, number: str) -> Iterator[Check]:
    """Check where a number's messages go, and through which Messaging Service a Conversation answers."""
    api, bases = TwilioApi(settings, account), public_bases(settings)
    address = api.number(number)
    if address is None:
        advice = "compare the flow's contact_identity with the numbers in the Console"
        yield Check("webhook", "bad", f"{number} is not a number of {account.sid}", advice)
        return
    by = f" (by {address.by})" if address.by else ""
    if address.leads_to(bases, _NUMBER):
        yield Check("webhook", "good", f"{number}: its inbound webhook{by} leads here")
    else:
        shown = address.url.partition("#")[0].partition("?")[0].rpartition("@")[2] or "not set"
        base = bases[0] if bases else "https://…"
        advice = f"`router connect {number}` sets it, or set it to {base}/webhooks/{_NUMBER} in the Console"
        yield Check(
            "webhook", "bad", f"{number}: its inbound webhook{by} is {shown}: the router gets no message", advice
        )
    pools = api.services_of(number)
    if len(pools) == 1:
        found = f"{number} is in {pools[0]}, which every Conversation names, so that answers come from it"
        yield Check("Messaging Service", "good", found)
    elif pools:
        found = f"{number} is in {', '.join(pools)}: a Conversation uses the one that received the message"
        yield Check("Messaging Service", "look", found, "leave the number in one of them")
    else:
        default = Resources(settings, account).default_messaging_service()
        through = f"the account's default one, {default}" if default else "none"
        found = f"{number} is in no Messaging Service: a Conversation uses {through}"
        advice = "watch which number the first answer comes from, or put the number into a Messaging Service"
        yield Check("Messaging Service", "look", found, advice)


def _opt_outs(old: FlexFlow, store: Store) -> Check:
    """Report who handles opt-outs: Twilio's REST API does not show it, but recent messages may."""
    since, with_opt_out = int((time.time() - _SECONDS) * 1000), 0
    for delivery in islice(store.deliveries.newest(old.account_sid, after=since), _MESSAGES):
        if delivery.flow_sid == old.sid and delivery.raw:
            with_opt_out += bool(Message.unpack(delivery.raw).opt_out_type)
    if with_opt_out:
        return Check("opt-outs", "good", f"Twilio handles them: {with_opt_out} recent messages have an OptOutType")
    return Check(
        "opt-outs",
        "skipped",
        "not known: Twilio's REST API does not say who handles them, and no recent message has an OptOutType",
        "send STOP from a test phone, before and after it has moved, and check that no answer follows. The router "
        "moves no contact because of an opt-out, and delivers it to the flow that the contact has",
    )


def _sessions(old: FlexFlow, store: Store) -> Check:
    progress = store.proxied.progress(old.account_sid, old.sid)
    if progress.live is not None:
        found = number(progress.live, "address", "es") if progress.live else "no address"
        return Check("sessions", "good", f"the sessions of Proxy are known: {found} in one now")
    advice = "they are listed from the first message after `router migrate start`, while a router runs"
    return Check("sessions", "look", "the sessions of Proxy are not known: no contact moves", advice)
