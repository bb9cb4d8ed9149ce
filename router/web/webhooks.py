"""Twilio's inbound webhook: receive, verify, parse, resolve, accept, and wait for what delivery makes of it."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from xml.sax.saxutils import escape

from flask import Blueprint, Response, request

from router import metrics
from router.address import CHANNELS
from router.answer import EMPTY_TWIML
from router.contact import NOBODY
from router.delivery import Deliverer, Waiter
from router.errors import NotAMessage, StoreUnavailable
from router.flow import FlexFlow
from router.integrations import Integrations
from router.message import Message, Raw, conversation_id, is_status_callback, mask
from router.pause import Pause
from router.routing import Circumstance, Likelihood, Route, disposition, facts, identities, resolve
from router.settings import Settings
from router.signature import Key, body_hash_matches, keys_for, names_body_hash, signed_urls, verify
from router.store import Store
from router.store.cache import EntryCache
from router.store.lanes import Acceptance, Lease, new_token
from router.web.recorder import Recorder
from router.web.request import Received, Refusal, receive

# The store is asked again until this many seconds after the arrival, each call takes one second at most, and so a 503
# is out within the 2.5 s that DESIGN promises: early enough for Twilio to call the fallback.
STORE_SECONDS: Final = 1.4
# Half of `worker_connections` in config/gunicorn.conf.py: the other half keeps taking messages.
WAITING_MOST: Final = 500
# How often a view asks the store about a message that another process delivers: after 0.1 s, then ever more rarely.
ASK_FIRST: Final = 0.1
ASK_MOST: Final = 1.0
# How long past its deadline a view waits for the settle of an answer that was promised to it.
PROMISE_SECONDS: Final = 2.0
# How often a message is routed: by what this process knew, by the flows as they are, by the contact as it is; and again
# where somebody changes the contact at this moment. The last one counts whatever happens meanwhile.
ROUNDS: Final = 5
_ASSERTED: Final = frozenset((*CHANNELS, "message"))
_XML: Final = "text/xml"
T = TypeVar("T")


@dataclass(slots=True)
class Line:
    """What is known of a webhook so far: one log line, whatever happens to it."""

    arrived: float
    channel: str
    kind: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


class Intake:
    """The webhook view and what it needs."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        settings: Settings,
        store: Store,
        deliverer: Deliverer,
        integrations: Integrations,
        likelihood: Likelihood,
        log: Any,
    ) -> None:
        self._settings = settings
        self._store = store
        self._deliverer = deliverer
        self._integrations = integrations
        self._likelihood = likelihood
        self._log = log
        self._entries = EntryCache(store.routing)
        self._refused = Recorder(settings, store.refusals, store.buckets)
        self._pause = Pause()
        self._waiting = 0
        self.refusing = ""  # why the store may not be given messages, as the process found out

    def webhook(self, channel: str) -> Response:
        """Answer one webhook."""
        line = Line(time.monotonic(), channel)
        try:
            response = self._answer(channel, line)
        except Refusal as refusal:
            line.kind = line.kind or "refused"
            line.fields["reason"] = refusal.reason
            text = "Forbidden" if refusal.status == 403 else refusal.reason  # noqa: PLR2004 - one answer for every failure
            response = Response(text, refusal.status, content_type="text/plain; charset=utf-8")
            if refusal.status == 405:  # noqa: PLR2004 - it has to say what is allowed: RFC 9110, section 15.5.6
                response.headers["Allow"] = "GET, POST"
        self._write(line, response)
        return response

    def _answer(self, channel: str, line: Line) -> Response:
        if channel not in _ASSERTED:
            raise Refusal(404, f"no such channel; one of {', '.join(sorted(_ASSERTED))}")
        received = receive(request.environ, self._settings)
        try:
            key, account_sid = self._verify(received)
        except Refusal as refusal:
            self._refused.note(received, request.environ, refusal.reason)
            raise
        line.fields |= {"key": key.label, "account_sid": account_sid}
        metrics.signatures(account_sid, key.label).inc()
        if is_status_callback(dict(received.fields)):
            line.kind = "status_callback"
            return _twiml_response(EMPTY_TWIML)
        message = _parse(received, channel)
        line.fields |= {
            "message_sid": message.message_sid,
            "from": mask(message.from_),
            "to": mask(message.to),
            "error_code": message.error_code,
        }
        if self.refusing:  # ask again: it is taken as soon as somebody has mended the store's settings
            self.refusing = self._ask(line.arrived, self._store.promise.refusal)
        if self.refusing:
            raise Refusal(503, "the store does not keep messages; the message was not taken")
        waiter = self._deliverer.wait(f"{message.account_sid}:{message.message_sid}")
        try:
            route, acceptance = self._accept(message, received, line.arrived)
            line.kind = acceptance.kind if route.flow else "unrouted"
            line.fields["flex_flow_sid"] = route.flow.sid if route.flow else None
            for flow_sid, _ in route.failed:
                metrics.match_failed(flow_sid)
            if route.choice is not None:
                line.fields |= {"language": route.language, "kept": acceptance.kept}
            return self._outcome(message, route, acceptance, waiter, line.arrived)
        finally:
            self._deliverer.forget(f"{message.account_sid}:{message.message_sid}", waiter)

    def _verify(self, received: Received) -> tuple[Key, str]:
        """Return the key that signed, and whose it is. Every failure is the same 403."""
        account_sid = next((value for name, value in received.fields if name == "AccountSid"), "")
        account = self._settings.account(account_sid)
        # A body that is not a form names no account: any of ours may have signed it.
        accounts = (account,) if account else () if received.raw.is_form else self._settings.accounts
        if not received.signature or not received.bases:
            raise Refusal(403, "no X-Twilio-Signature" if received.bases else "no Host")
        form = received.fields if received.raw.method == "POST" else ()
        for candidate in accounts:
            keys = keys_for(candidate.auth_tokens, candidate.shared_keys, received.signature_settings)
            for base in received.bases:
                try:
                    urls = signed_urls(base, received.target)
                except ValueError as error:
                    raise Refusal(403, str(error)) from error
                key = verify(urls, form, received.signature, keys)
                if key is None:
                    continue
                if names_body_hash(urls[0]) and not body_hash_matches(urls[0], _hashed(received.raw)):
                    raise Refusal(403, "bodySHA256 is not the body's")
                return key, candidate.sid
        raise Refusal(403, "unknown AccountSid" if not accounts else "signature does not match")

    def _accept(self, message: Message, received: Received, arrived: float) -> tuple[Route, Acceptance]:
        """Resolve and accept; again when the flows have changed, or when the contact's past may change it."""
        token, packed = new_token(), received.raw.pack()
        names = identities(message)
        entries = self._ask(arrived, lambda: self._entries.get(message.account_sid, names))
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
                entries, check = self._ask(arrived, lambda: self._entries.read(message.account_sid, names)), False
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
            acceptance = self._ask(
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
            flow = self._ask(arrived, lambda: self._store.flows.get(message.account_sid, flow_sid))
        return Route(flow, route.entries, route.steps)

    def _ask(self, arrived: float, call: Callable[[], T]) -> T:
        """Call the store, again while there is time; raise `Refusal` 503 when the message cannot be kept safe."""
        while time.monotonic() - arrived <= STORE_SECONDS:
            with contextlib.suppress(StoreUnavailable):
                return call()
            time.sleep(0.02)
        raise Refusal(503, "the store is not available; the message was not taken")

    def _outcome(  # noqa: PLR0911 - each way to answer is one return
        self, message: Message, route: Route, acceptance: Acceptance, waiter: Waiter, arrived: float
    ) -> Response:
        """Answer a message that is safe: at once, or with what its target answers in time."""
        if acceptance.kind == "duplicate" and _wants_nothing(message.error_code):
            return _twiml_response(EMPTY_TWIML)
        flow = route.flow
        if acceptance.kind == "duplicate" and acceptance.state not in ("queued", "sending"):
            return self._repeat(message, flow, acceptance, arrived)
        if flow is None:
            return _twiml_response(EMPTY_TWIML)
        if flow.response == "redirect" and acceptance.kind != "duplicate":  # of one that was queued before
            return _twiml_response(self._redirect(message, flow))
        if flow.response != "relay":
            return _twiml_response(EMPTY_TWIML)
        if not self._worth_waiting(acceptance):
            return _twiml_response(_fallback(flow))
        self._waiting += 1
        metrics.WAITING.inc()
        try:
            return self._wait(message, flow, acceptance, waiter, arrived + self._settings.relay_seconds)
        finally:
            self._waiting -= 1
            metrics.WAITING.dec()

    def _worth_waiting(self, acceptance: Acceptance) -> bool:
        return (acceptance.kind == "leased" or acceptance.head == "sending") and self._waiting < WAITING_MOST

    def _wait(
        self, message: Message, flow: FlexFlow, acceptance: Acceptance, waiter: Waiter, deadline: float
    ) -> Response:
        lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
        pause = ASK_MOST if acceptance.kind == "leased" else ASK_FIRST  # our own attempt tells us itself
        while not waiter.done.is_set() and (left := deadline - time.monotonic()) > 0:
            if waiter.done.wait(min(pause, left)) or left <= pause:
                break
            pause = min(2 * pause, ASK_MOST)
            try:
                state, answer, head = self._store.lanes.take_answer(
                    message.account_sid, message.message_sid, lane, "webhook"
                )
            except StoreUnavailable:
                continue
            if state not in ("queued", "sending") and not waiter.done.is_set():
                return _twiml_response(answer or (EMPTY_TWIML if state == "delivered" else _fallback(flow)))
            if state == "queued" and head != "sending":
                break  # the lane waits for a retry
        if waiter.promised:
            waiter.done.wait(PROMISE_SECONDS)
        if waiter.outcome == "delivered":
            return _twiml_response(waiter.answer or EMPTY_TWIML, waiter.cookies)
        return _twiml_response(_fallback(flow))

    def _repeat(self, message: Message, flow: FlexFlow | None, acceptance: Acceptance, arrived: float) -> Response:
        """Give a duplicate of a message that is done the first answer; take the right to it where nobody had it."""
        if acceptance.state == "redirected" and flow is not None and flow.response == "redirect":
            return _twiml_response(self._redirect(message, flow))
        answer = acceptance.answer
        if answer and acceptance.answered != "webhook":
            lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
            _, answer, _ = self._ask(
                arrived,
                lambda: self._store.lanes.take_answer(message.account_sid, message.message_sid, lane, "webhook"),
            )
        if not answer and acceptance.state != "delivered" and flow is not None and flow.response == "relay":
            answer = _fallback(flow)
        return _twiml_response(answer or EMPTY_TWIML)

    def _redirect(self, message: Message, flow: FlexFlow) -> bytes:
        """Tell Twilio to call the target itself: https://www.twilio.com/docs/messaging/twiml/redirect."""
        account = self._settings.account(message.account_sid)
        url = self._integrations.url(account, flow) if account else ""
        if not url:
            return EMPTY_TWIML
        return f'<?xml version="1.0" encoding="UTF-8"?><Response><Redirect>{escape(url)}</Redirect></Response>'.encode()

    def _write(self, line: Line, response: Response) -> None:
        seconds = time.monotonic() - line.arrived
        channel = line.channel if line.channel in _ASSERTED else "unknown"
        answer = line.kind if response.status_code == 200 else str(response.status_code)  # noqa: PLR2004
        metrics.webhooks(channel, answer).inc()
        metrics.ANSWERED.observe(seconds)
        self._log.info(
            "webhook",
            channel=channel,
            kind=line.kind,
            answer=response.status_code,
            seconds=round(seconds, 4),
            **line.fields,
        )


def blueprint(intake: Intake) -> Blueprint:
    """Make the routes of the webhooks. HEAD and OPTIONS reach the view too, which refuses them like any other."""
    webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")
    webhooks.add_url_rule(
        "/<channel>",
        view_func=intake.webhook,
        methods=["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"],
        provide_automatic_options=False,
    )
    return webhooks


def _parse(received: Received, channel: str) -> Message:
    try:
        message = Message.parse(received.fields)
    except NotAMessage as error:
        raise Refusal(400, str(error)) from error
    if channel not in ("message", message.channel):
        raise Refusal(400, f"a message of the channel {message.channel}, sent to the webhook of {channel}")
    return message


def _hashed(raw: Raw) -> bytes:
    return raw.body if raw.method == "POST" else b""


def _wants_nothing(error_code: str) -> bool:
    """Say whether Twilio could not use the first answer: 11750 is too large, 12xxx is wrong TwiML."""
    return error_code == "11750" or (len(error_code) == 5 and error_code.startswith("12"))  # noqa: PLR2004


def _fallback(flow: FlexFlow) -> bytes:
    return flow.fallback_twiml.encode() if flow.fallback_twiml else EMPTY_TWIML


def _twiml_response(twiml: bytes, cookies: tuple[str, ...] = ()) -> Response:
    response = Response(twiml, 200, content_type=_XML)
    for cookie in cookies:
        response.headers.add("Set-Cookie", cookie)
    return response
