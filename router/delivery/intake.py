"""Intake of every message, from any source: resolve it, accept it within the time budget, and start its delivery.

The webhook view, recovery and a visitor's chat all call `Intake.take`; only this module routes a message by the current
flows.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from router.delivery.deliverer import Deliverer
from router.delivery.replicas import Replicas
from router.delivery.slots import Target
from router.delivery.yielder import Yielder
from router.errors import StoreUnavailable, StoreUnconfirmed
from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message, conversation_id
from router.message.raw import Raw
from router.routing.contact import NOTHING_KNOWN, Choice
from router.routing.resolve import Circumstance, Likelihood, Route, disposition, facts, identities, pinned, resolve
from router.store import Store
from router.store.cache import EntryCache
from router.store.chat_write import Appended
from router.store.lanes import Acceptance, Lease, Written, new_token
from router.value import value

# The store call is repeated until this many seconds after the arrival, and each call takes one second at most, so a 503
# is sent within 2.5 s: early enough for Twilio to call the fallback URL.
STORE_SECONDS: Final = 1.4
# A message is routed by the cached flows, then by the stored flows, then by the stored contact; and again while the
# contact is being changed concurrently. The result of the last round is used in any case.
ROUNDS: Final = 5
# The value of the record's field `answered` for a message that must not be answered.
UNANSWERABLE: Final = "nobody"
T = TypeVar("T")


@value
class Arrival:
    """One inbound message, verified and parsed.

    `arrived` is in monotonic seconds. `lang` is the language that the webhook's URL named, "" for none. A `recovered`
    message was fetched from Twilio after its webhook had failed: it is queued even for a flow that redirects, and it
    is never answered. A web chat's message has its entry for the chat (`appended`); it may be `pinned` to a flow, the
    one whose test page it was written on. The event of a chat's end is pinned to the flow that got the last message.
    """

    message: Message
    raw: Raw
    arrived: float
    lang: str = ""
    recovered: bool = False
    pinned: str = ""
    appended: Appended | None = None

    @property
    def lane(self) -> str:
        """The id of the message's conversation."""
        message = self.message
        return conversation_id(message.account_sid, message.channel, message.to, message.from_)


@value
class Taken:
    """An accepted message: its route, which may be that of its conversation, and the store's reply."""

    arrival: Arrival
    route: Route
    acceptance: Acceptance


class Intake:
    """Accepts messages for one process.

    Without a `deliverer`, as in a command, messages are accepted and the running router's sweeper delivers them.
    """

    def __init__(self, store: Store, deliverer: Deliverer | None, likelihood: Likelihood) -> None:
        self._store = store
        self._deliverer = deliverer
        self._likelihood = likelihood
        self._entries = EntryCache(store.routing)
        self._yielder = Yielder()
        self._replicas = Replicas(store.lanes)

    def take(self, arrival: Arrival) -> Taken:
        """Resolve the message to a flow, accept it into its conversation's lane, and start its delivery if it is next.

        It is resolved again if the store reports that this process's cached flows are outdated, or that the contact's
        history may change the result.

        Raises StoreUnavailable if the message is not safe, or if that is unknown; a repeated call is safe.
        """
        message = arrival.message
        self._replicas.check(message.account_sid)
        token = new_token()
        names = identities(message)
        entries = within_budget(arrival.arrived, lambda: self._entries.get(message.account_sid, names))
        circumstance = Circumstance(time.time(), NOTHING_KNOWN, arrival.lang, self._likelihood, self._yielder)
        check, pinned_by = True, "by its test page" if arrival.appended else "because it got the last message"
        for round_ in range(1, ROUNDS + 1):
            route = pinned(arrival.pinned, entries, pinned_by) or resolve(message, entries, circumstance)
            taken = self._accept(arrival, token, route, check=check, final=round_ == ROUNDS)
            if taken.acceptance.kind != "stale":
                break
            if taken.acceptance.known is None:
                entries = within_budget(arrival.arrived, lambda: self._entries.read(message.account_sid, names))
                check = False
            else:
                circumstance = replace(circumstance, known=taken.acceptance.known)
        return taken

    def _accept(self, arrival: Arrival, token: str, route: Route, *, check: bool, final: bool) -> Taken:
        """Accept a message with a route; send it now if it is next in its lane and this process has a slot."""
        slot = self._reserve(arrival, route)
        started = time.monotonic()
        leased = False
        try:
            acceptance = self._store_message(arrival, token, route, lease=slot is not None, check=check, final=final)
            leased = acceptance.kind == "leased"
        finally:
            if self._deliverer is not None and slot is not None and not leased:
                self._deliverer.give_back(slot)
        if acceptance.kept:
            route = route.kept(acceptance.flow_sid, acceptance.language, moved=acceptance.moved)
        elif acceptance.kind == "duplicate":
            route = self._first_route(arrival, route, acceptance.flow_sid)
        if leased:
            self._send(arrival, token, route, slot, started)
        return Taken(arrival, route, acceptance)

    def _reserve(self, arrival: Arrival, route: Route) -> Target | None:
        """Take a slot, so that the message can be leased and sent at once; return None if it will not be sent so."""
        flow, deliverer = route.flow, self._deliverer
        if flow is None or deliverer is None or arrival.recovered or flow.response == "redirect":
            return None
        return deliverer.reserve(flow)

    def _send(self, arrival: Arrival, token: str, route: Route, slot: Target | None, started: float) -> None:
        """Send a leased message. If the conversation keeps another flow, it needs a slot of that flow's target."""
        deliverer, flow = self._deliverer, route.flow
        assert deliverer is not None  # noqa: S101 - without one no message is leased
        assert flow is not None  # noqa: S101 - only a message that has a flow is leased
        lease = self._lease(arrival, token, flow, route.language, started)
        slot = deliverer.exchange(slot, flow)
        if slot is None:
            deliverer.decline(lease)
        else:
            deliverer.start(lease, slot)

    def _store_message(  # noqa: PLR0913 - the message, its route, and options of the call
        self, arrival: Arrival, token: str, route: Route, *, lease: bool, check: bool, final: bool
    ) -> Acceptance:
        message = arrival.message
        known: dict[str, str | bytes | float] = dict(facts(arrival.raw.pack(), route, arrival.lang))
        if arrival.appended:
            known["index"] = arrival.appended.index
        choice, disposed = route.choice, disposition(route.flow)
        if arrival.recovered:
            why = "\n".join(("recovered from Twilio", *route.steps))
            known |= {"why": why, "recovered": 1, "answered": UNANSWERABLE}
            disposed = "queue" if route.flow else "unrouted"
            choice = choice and _queueing(choice)
        versions = [(entry.identity, entry.version) for entry in route.entries] if check else ()
        takes_leases = self._deliverer is not None and not self._deliverer.stopping and not arrival.recovered
        own = Written(token, message.account_sid, message.message_sid, arrival.lane)
        accept = partial(
            self._store.lanes.accept,
            token=token,
            account_sid=message.account_sid,
            message_sid=message.message_sid,
            lane=arrival.lane,
            disposition=disposed,
            lease=lease,
            lease_kept=takes_leases,
            versions=versions,
            facts=known,
            choice=choice,
            final=final,
            appended=arrival.appended,
        )
        try:
            acceptance = within_budget(arrival.arrived, accept)
        except StoreUnconfirmed:
            self._replicas.take_back(own, arrival.arrived)
            raise
        if acceptance.kind == "accepted":
            self._replicas.confirm(own)
        return acceptance

    def _lease(self, arrival: Arrival, token: str, flow: FlexFlow, language: str, started: float) -> Lease:
        """Make the lease that `accept` granted, with the parsed message, so that it is not parsed again."""
        message = arrival.message
        return Lease(
            token=token,
            expires=started + self._store.lanes.lease_seconds,
            account_sid=message.account_sid,
            message_sid=message.message_sid,
            lane=arrival.lane,
            raw=b"",
            content=(arrival.raw, message),
            flow_sid=flow.sid,
            flow=flow,
            age=0.0,
            attempts=1,
            failures=0,
            refusals=0,
            round=0,
            answered=False,
            language=language,
        )

    def _first_route(self, arrival: Arrival, route: Route, flow_sid: str) -> Route:
        """Return the route of the message of which this one is a duplicate."""
        known = {flow.sid: flow for entry in route.entries for flow in entry.flows}
        flow = known.get(flow_sid)
        if flow is None and flow_sid:
            account_sid = arrival.message.account_sid
            flow = within_budget(arrival.arrived, lambda: self._store.flows.get(account_sid, flow_sid))
        return Route(flow, route.entries, route.steps)


def within_budget(arrived: float, call: Callable[[], T]) -> T:
    """Call the store, with retries until the time budget since `arrived` is used up.

    Raises:
        StoreUnconfirmed: the store has written at least once, and too few replicas have confirmed it.
        StoreUnavailable: the store has not answered in time.
    """
    unconfirmed = None
    while time.monotonic() - arrived <= STORE_SECONDS:
        try:
            return call()
        except StoreUnconfirmed as error:
            unconfirmed = error
        except StoreUnavailable:
            pass
        time.sleep(0.02)
    raise unconfirmed or StoreUnavailable("the store did not answer in time; the message is not acknowledged")


def _queueing(choice: Choice) -> Choice:
    """Queue the message also for a flow that redirects: a recovered message has no webhook to redirect."""
    return replace(choice, candidates=tuple(replace(each, disposition="queue") for each in choice.candidates))
