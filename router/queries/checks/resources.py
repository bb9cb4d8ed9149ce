"""Checks of the resources at Twilio that flows of tasks, Conversations and migrations name."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message
from router.printable import number
from router.queries.checks import Check
from router.queries.delivery_json import attempt_of
from router.settings import Account, Settings
from router.store import Store
from router.store.deliveries import Delivery
from router.twilio_api.client import TwilioError
from router.twilio_api.resources import CONVERSATION_TRIGGER, Resources

# The maximum number of flows to check: each takes several requests.
_FLOWS: Final = 50
_READ: Final = 10_000
# How many messages of a flow are compared with their Conversations, among the newest messages of the account.
_COMPARED: Final = 3
_MESSAGES: Final = 2_000
_MESSAGES_SECONDS: Final = 7 * 86_400
# How far back reasons of failures are counted, and how many of them are shown.
_TROUBLES_SECONDS: Final = 86_400
_SHOWN: Final = 10
# Shorter messages are not compared: a text such as "ok" may be sent several times.
_LONG_ENOUGH: Final = 12
# The maximum number of webhooks of a Conversation.
_WEBHOOKS: Final = 5
_NOT_FOUND: Final = 404
_CONVERSATION: Final = re.compile(r"\bCH[0-9a-fA-F]{32}\b")


def flows(settings: Settings, account: Account, store: Store) -> Iterator[Check]:
    """Check the resources that the enabled flows of an account name, and the newest messages in Conversations."""
    api, seen, checked = Resources(settings, account), 0, dict[str, FlexFlow]()
    for place, flow in enumerate(store.flows.walk(account.sid)):
        if place >= _READ or seen >= _FLOWS:
            yield Check("resources", "skipped", f"further flows of {account.sid}: the first {seen} were checked")
            break
        kind = flow.integration.type
        if not flow.enabled or (kind not in {"task", "conversation"} and not flow.migrate_to):
            continue
        seen, checked[flow.sid] = seen + 1, flow
        found = list(of_flow(flow, account, api, store))
        yield from found
        if all(each.state == "good" for each in found):
            yield Check("resources", "good", f"{named(flow)}: all resources that it names exist")
    yield from _troubles(account, checked, store)


def _troubles(account: Account, checked: Mapping[str, FlexFlow], store: Store) -> Iterator[Check]:
    """Count the reasons why messages of these flows were not delivered or wait for a retry, in Twilio's words."""
    since, found = int((time.time() - _TROUBLES_SECONDS) * 1000), Counter[tuple[str, str, str]]()
    for delivery in islice(store.deliveries.newest(account.sid, after=since), _MESSAGES if checked else 0):
        if delivery.flow_sid in checked and delivery.error and delivery.state in {"undelivered", "queued", "sending"}:
            state = "undelivered" if delivery.state == "undelivered" else "waiting"
            found[delivery.flow_sid, state, delivery.error] += 1
    for (sid, state, reason), count in found.most_common(_SHOWN):
        advice = f"see `router deliveries list --flow {sid}`"
        if state == "undelivered":
            advice = f"repair the cause, and then `router deliveries replay --flow {sid} --status undelivered`"
        yield Check(
            "deliveries", "look", f"{named(checked[sid])}: {number(count, 'message')} {state}: {reason}", advice
        )


def of_flow(flow: FlexFlow, account: Account, api: Resources, store: Store) -> Iterator[Check]:
    """Check the resources that a flow names at Twilio; yields only good findings, or none, if all of them exist."""
    kind, integration = flow.integration.type, flow.integration
    if kind == "task":
        yield from _needs(
            flow, f"workspace {integration.workspace_sid}", lambda: api.workspace(integration.workspace_sid)
        )
        workflow = f"workflow {integration.workflow_sid} of {integration.workspace_sid}"
        yield from _needs(flow, workflow, lambda: api.workflow(integration.workspace_sid, integration.workflow_sid))
    elif kind == "conversation":
        yield from _conversation(flow, api, store)
    elif flow.migrate_to and kind == "proxy":
        service = integration.proxy_service_sid or account.proxy_service_sid or ""
        for check in _needs(flow, f"the sessions of Proxy service {service}", lambda: api.proxy_service(service)):
            yield Check(check.name, check.state, f"{check.found}: no contact moves", check.advice)


def _conversation(flow: FlexFlow, api: Resources, store: Store) -> Iterator[Check]:
    service = flow.chat_service_sid
    if service:
        yield from _needs(flow, f"chat service {service}", lambda: api.chat_service(service))
    if flow.integration.flow_sid:
        yield from _studio(flow, api)
    if workspace := _workspace(flow):
        yield from _needs(flow, f"workspace {workspace} of Integration.Interaction", lambda: api.workspace(workspace))
    if may_auto_create(flow):
        yield from _auto_creation(flow, api)
    for delivery, sid in _handed_over(flow, store):
        yield from _compared(flow, delivery, sid, api)


def may_auto_create(flow: FlexFlow) -> bool:
    """Return whether Twilio could auto-create Conversations for the flow: its contact_identity is a single address."""
    return flow.contact_identity != "*" and not flow.contact_identity.startswith("MG")


def _needs(flow: FlexFlow, what: str, read: Callable[[], object]) -> Iterator[Check]:
    """Check with `read` that a resource that the flow needs exists."""
    try:
        read()
    except TwilioError as error:
        if error.status == _NOT_FOUND:
            advice = "compare the SID with the Console: the resource was deleted, or is of another account"
            yield Check("resources", "bad", f"{named(flow)}: there is no {what} in {flow.account_sid}", advice)
        elif error.unauthorized:
            advice = "the account's auth token has to be the current one, and the account active"
            yield Check("resources", "bad", f"{named(flow)}: Twilio refused access to {what}: {error}", advice)
        else:
            yield Check("resources", "look", f"{named(flow)}: {what} could not be read: {error}", "try again later")


def _studio(flow: FlexFlow, api: Resources) -> Iterator[Check]:
    sid, triggers = flow.integration.flow_sid, set[str]()
    missing = list(_needs(flow, f"Studio flow {sid}", lambda: triggers.update(api.triggers(sid))))
    yield from missing
    if not missing and CONVERSATION_TRIGGER not in triggers:
        advice = "connect the trigger “Incoming Conversation” of the Studio flow with a widget, and publish it"
        found = (
            f"{named(flow)}: {sid} does nothing for a Conversation, only for {', '.join(sorted(triggers)) or 'none'}"
        )
        yield Check("resources", "bad", found, advice)


def _auto_creation(flow: FlexFlow, api: Resources) -> Iterator[Check]:
    try:
        if flow.channel_type == "sms" and api.is_handed_over(flow.contact_identity):
            found = f"{named(flow)}: its number is handed over: Twilio creates the Conversations, without the router"
            yield Check("resources", "good", found)
        elif api.auto_creates(flow.contact_identity):
            advice = "turn off auto-creation for the address at Twilio, or set another webhook for the number"
            found = f"{named(flow)}: both Twilio and the router create a Conversation for each contact"
            yield Check("resources", "bad", found, advice)
    except TwilioError as error:
        if error.status != _NOT_FOUND:  # an address without a configuration
            yield Check("resources", "skipped", f"{named(flow)}: auto-creation: {error}")


def _compared(flow: FlexFlow, delivery: Delivery, sid: str, api: Resources) -> Iterator[Check]:
    """Check that a delivered message is in its Conversation exactly once."""
    message = Message.unpack(delivery.raw)
    try:
        found = api.messages(flow.chat_service_sid, sid)
        webhooks = api.webhooks(flow.chat_service_sid, sid)
    except TwilioError as error:
        if error.status != _NOT_FOUND:  # deleted since
            yield Check("resources", "look", f"{named(flow)}: {sid} could not be read: {error}", "try again later")
        return
    added = any(each.router_id == delivery.message_sid for each in found)
    captured = any(each.author == message.from_ and each.body == message.body and not each.router_id for each in found)
    if added and captured:
        advice = "Twilio adds it too: set Capture to auto, and check which program adds messages to this Conversation"
        yield Check("resources", "bad", f"{named(flow)}: {delivery.message_sid} is in {sid} twice", advice)
    elif not added and not captured:
        advice = (
            "Twilio does not add the messages of this account: set Capture to never (or the Conversation has many "
            "newer messages)"
        )
        yield Check("resources", "bad", f"{named(flow)}: {delivery.message_sid} is not in {sid}", advice)
    else:
        who = "Twilio captured it" if captured else "the router added it"
        yield Check("resources", "good", f"{named(flow)}: {delivery.message_sid} is in {sid} once: {who}")
    if webhooks >= _WEBHOOKS:
        advice = "Twilio allows five webhooks for a Conversation: no other can be added"
        yield Check("resources", "look", f"{named(flow)}: {sid} has {webhooks} webhooks", advice)


def _handed_over(flow: FlexFlow, store: Store) -> Iterator[tuple[Delivery, str]]:
    """Return the newest messages of a flow that were delivered to a Conversation, each with the Conversation's SID."""
    since, found = int((time.time() - _MESSAGES_SECONDS) * 1000), 0
    for place, delivery in enumerate(store.deliveries.newest(flow.account_sid, after=since)):
        if place >= _MESSAGES or found >= _COMPARED:
            return
        if delivery.flow_sid != flow.sid or delivery.state != "delivered" or not (delivery.raw and delivery.history):
            continue
        sid = _CONVERSATION.search(attempt_of(delivery.history[-1])["reason"] or "")
        if sid and len(Message.unpack(delivery.raw).body) >= _LONG_ENOUGH:
            found += 1
            yield delivery, sid[0]


def _workspace(flow: FlexFlow) -> str:
    """Return the workspace of the flow's Interactions, "" if the flow does not name one."""
    routing = json.loads(flow.integration.interaction or "{}").get("properties")
    return str(routing.get("workspace_sid") or "") if isinstance(routing, dict) else ""


def named(flow: FlexFlow) -> str:
    """Return a flow's SID and name."""
    return f"{flow.sid} “{flow.friendly_name}”"
