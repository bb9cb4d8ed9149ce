"""Resolve and accept: a verified message into its conversation's lane, by the flows and the contact as they are."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from router.delivery.deliverer import Deliverer
from router.delivery.yielder import Pause
from router.errors import StoreUnavailable
from router.message.inbound import Message, conversation_id
from router.routing.contact import NOBODY
from router.routing.resolve import Circumstance, Likelihood, Route, disposition, facts, identities, resolve
from router.store import Store
from router.store.cache import EntryCache
from router.store.lanes import Acceptance, Lease, new_token
from router.web.request import Received, Refusal

# The store is asked again until this many seconds after the arrival, each call takes one second at most, and so a 503
# is out within the 2.5 s that DESIGN promises: early enough for Twilio to call the fallback.
STORE_SECONDS: Final = 1.4
# How often a message is routed: by what this process knew, by the flows as they are, by the contact as it is; and again
# where somebody changes the contact at this moment. The last one counts whatever happens meanwhile.
ROUNDS: Final = 5
T = TypeVar("T")


def ask(arrived: float, call: Callable[[], T]) -> T:
    """Call the store, again while there is time; raise `Refusal` 503 when the message cannot be kept safe."""
    while time.monotonic() - arrived <= STORE_SECONDS:
        with contextlib.suppress(StoreUnavailable):
            return call()
        time.sleep(0.02)
    raise Refusal(503, "the store is not available; the message was not taken")


class Acceptor:
    """Accepts messages, and starts the delivery of those whose turn it is."""

    def __init__(self, store: Store, deliverer: Deliverer, likelihood: Likelihood) -> None:
        self._store = store
        self._deliverer = deliverer
        self._likelihood = likelihood
        self._entries = EntryCache(store.routing)
        self._pause = Pause()

    def accept(self, message: Message, received: Received, arrived: float) -> tuple[Route, Acceptance]:
        """Resolve and accept; again when the flows have changed, or when the contact's past may change it."""
        token, packed = new_token(), received.raw.pack()
        names = identities(message)
        entries = ask(arrived, lambda: self._entries.get(message.account_sid, names))
        circumstance = Circumstance(time.time(), NOBODY, received.lang, self._likelihood, self._pause)
        check = True
        for left in reversed(range(ROUNDS)):
            route = resolve(message, entries, circumstance)
            route, acceptance = self._accept_route(
                message, packed, token, route, arrived, lang=received.lang, check=check, final=not left
            )
            if acceptance.kind != "stale":
                break
            if acceptance.known is None:
                entries, check = ask(arrived, lambda: self._entries.read(message.account_sid, names)), False
            else:
                circumstance = replace(circumstance, known=acceptance.known)
        return route, acceptance

    def _accept_route(  # noqa: PLR0913 - the message, its request and its route, and how the call goes
        self,
        message: Message,
        packed: bytes,
        token: str,
        route: Route,
        arrived: float,
        *,
        lang: str,
        check: bool,
        final: bool,
    ) -> tuple[Route, Acceptance]:
        """Accept a message by its route; return the route that it goes by, which may be its conversation's."""
        flow = route.flow
        reserved = flow is not None and flow.response != "redirect" and self._deliverer.reserve(flow)
        lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
        started = time.monotonic()
        leased = False
        try:
            acceptance = ask(
                arrived,
                lambda: self._store.lanes.accept(
                    token=token,
                    account_sid=message.account_sid,
                    message_sid=message.message_sid,
                    lane=lane,
                    disposition=disposition(flow),
                    lease=reserved,
                    lease_kept=not self._deliverer.stopping,
                    versions=[(entry.identity, entry.version) for entry in route.entries] if check else (),
                    facts=facts(packed, route, lang),
                    choice=route.choice,
                    final=final,
                ),
            )
            if acceptance.kept:
                route = route.kept(acceptance.flow_sid, acceptance.language)
            elif acceptance.kind == "duplicate":
                route = self._first(message, route, acceptance.flow_sid, arrived)
            if acceptance.kind == "leased":
                assert route.flow is not None  # noqa: S101 - a conversation stays with a flow
                lease = Lease(
                    token=token,
                    expires=started + self._store.lanes.lease_seconds,
                    account_sid=message.account_sid,
                    message_sid=message.message_sid,
                    lane=lane,
                    raw=packed,
                    flow_sid=route.flow.sid,
                    flow=route.flow,
                    age=0.0,
                    attempts=1,
                    failures=0,
                    refusals=0,
                    round=0,
                    answered=False,
                    language=route.language,
                )
                leased = True
                if self._deliverer.exchange(flow if reserved else None, route.flow):
                    self._deliverer.start(lease)
                else:
                    self._deliverer.decline(lease)
        finally:
            if reserved and not leased and flow is not None:
                self._deliverer.give_back(flow)
        return route, acceptance

    def _first(self, message: Message, route: Route, flow_sid: str, arrived: float) -> Route:
        """Return the route of a message that came before, whose duplicate would go by another one."""
        known = {flow.sid: flow for entry in route.entries for flow in entry.flows}
        flow = known.get(flow_sid)
        if flow is None and flow_sid:
            flow = ask(arrived, lambda: self._store.flows.get(message.account_sid, flow_sid))
        return Route(flow, route.entries, route.steps)
