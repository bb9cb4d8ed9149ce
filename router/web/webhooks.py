"""Twilio's inbound webhook: receive, verify, parse, resolve, accept, and answer with the outcome of the delivery."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Blueprint, Response, request

from router import metrics
from router.delivery.deliverer import Deliverer
from router.delivery.intake import Arrival, Intake, Taken, within_budget
from router.errors import NotAMessage, StoreUnavailable
from router.integrations import Integrations
from router.message.channel import ANY, WEB, WEBHOOKS
from router.message.inbound import Message, is_status_callback
from router.message.masking import mask
from router.message.owner import owners
from router.message.raw import Raw
from router.message.signature import Key, body_hash_matches, keys_for, names_body_hash, signed_urls, verify_form
from router.message.twiml import EMPTY_TWIML
from router.queries.outage import Healer
from router.settings import Settings
from router.store import Store
from router.web.answering import Answerer
from router.web.recorder import Recorder
from router.web.reply import TEXT, Reply
from router.web.request import Received, Refusal, receive

# The last part of a webhook's path: a channel, or `message` for any.
PATHS: Final = frozenset((*WEBHOOKS, ANY))
_MISSED: Final = "no webhook at this path"


@dataclass(slots=True)
class Line:
    """The log fields of one webhook request; exactly one line is written for it."""

    arrived: float
    channel: str
    outcome: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


class WebhookView:
    """The webhook view and its dependencies."""

    def __init__(  # noqa: PLR0913, PLR0917 - its dependencies
        self,
        settings: Settings,
        store: Store,
        deliverer: Deliverer,
        integrations: Integrations,
        intake: Intake,
        healer: Healer,
        log: Any,
    ) -> None:
        self._settings = settings
        self._promise = store.promise
        self._waiters = deliverer.waiters
        self._intake = intake
        self._healer = healer
        self._answerer = Answerer(settings, store.lanes, integrations)
        self._refused = Recorder(settings, store.refusals)
        self._log = log
        self.refusing = ""  # why the store is not safe for messages, "" if it is
        self._looked_at = 0  # the connection to the store for which this was checked

    def webhook(self, channel: str, environ: Mapping[str, Any]) -> Reply:
        """Answer one webhook."""
        line = Line(time.monotonic(), channel)
        try:
            reply = self._answer(channel, environ, line)
        except Refusal as refusal:
            line.outcome = line.outcome or "refused"
            line.fields["reason"] = refusal.reason
            if refusal.status == 404:  # noqa: PLR2004 - no such channel: answered like any other unknown path
                self._record_missed(environ)
            text = "Forbidden" if refusal.status == 403 else refusal.reason  # noqa: PLR2004 - one answer for every failure
            # A 405 must name the allowed methods: RFC 9110, section 15.5.6.
            allow = (("Allow", "GET, POST"),) if refusal.status == 405 else ()  # noqa: PLR2004
            reply = Reply(text.encode(), refusal.status, TEXT, allow)
        self._write(line, reply.status)
        return reply

    def verified(self, environ: Mapping[str, Any]) -> tuple[Received, str]:
        """Return a request that one of the accounts' keys signed, and the account's SID; raise Refusal."""
        received = receive(environ, self._settings)
        try:
            _, account_sid = self._verify(received)
        except Refusal as refusal:
            self._refused.note(received, environ, refusal.status, refusal.reason)
            raise
        return received, account_sid

    def missed(self, environ: Mapping[str, Any], status: int) -> None:
        """Report a request, possibly from Twilio, to a path that is not a webhook: in log, metrics and doctor."""
        if environ.get("HTTP_X_TWILIO_SIGNATURE"):
            self._record_missed(environ)
            self._write(Line(time.monotonic(), "", "refused", {"reason": _MISSED}), status)

    def _record_missed(self, environ: Mapping[str, Any]) -> None:
        with suppress(Refusal):
            self._refused.note(receive(environ, self._settings), environ, 404, _MISSED)

    def _answer(self, channel: str, environ: Mapping[str, Any], line: Line) -> Reply:
        if channel not in PATHS:
            raise Refusal(404, f"no such channel; one of {', '.join(sorted(PATHS))}")
        received = receive(environ, self._settings)
        try:
            key, account_sid = self._verify(received)
        except Refusal as refusal:
            self._refused.note(received, environ, refusal.status, refusal.reason)
            self._healer.refused(_account_sid(received))
            raise
        line.fields |= {"key": key.label, "account_sid": account_sid}
        metrics.signatures(account_sid, key.label).inc()
        if is_status_callback(dict(received.fields)):
            line.outcome = "status_callback"
            return Reply(EMPTY_TWIML)
        message = _parse(received, channel)
        self._healer.matched(account_sid, message.contact_identity)
        line.fields |= {
            "message_sid": message.message_sid,
            "from": mask(message.from_),
            "to": mask(message.to),
            "error_code": message.error_code,
        }
        try:
            self.check_store(line.arrived)
            return self._take(Arrival(message, received.raw, line.arrived, received.lang), line)
        except StoreUnavailable as error:
            self._healer.missed(account_sid)
            raise Refusal(503, str(error)) from error

    def _take(self, arrival: Arrival, line: Line) -> Reply:
        """Accept the message, which starts its delivery, and answer with the outcome if it is known in time."""
        message_id = f"{arrival.message.account_sid}:{arrival.message.message_sid}"
        waiter = self._waiters.wait(message_id)
        try:
            taken = self._intake.take(arrival)
            self.check_store(arrival.arrived)
            route = taken.route
            line.outcome = _outcome(taken)
            line.fields["flex_flow_sid"] = route.flow.sid if route.flow else None
            for flow_sid, _ in route.failed:
                metrics.match_failed(flow_sid)
            if route.choice is not None:
                line.fields |= {"language": route.language, "kept": taken.acceptance.kept}
            return self._answerer.answer(taken, waiter)
        finally:
            self._waiters.forget(message_id, waiter)

    def check_store(self, arrived: float) -> None:
        """Raise StoreUnavailable if the store's settings do not keep messages safe.

        An unsafe store is checked again for each message, so that messages are accepted as soon as its settings are
        corrected. A new connection is checked as well: the store may have been restarted with other settings, or failed
        over to another server. That can happen during an accept, so this is called before and after it.
        """
        connection = self._promise.connection
        if self.refusing or connection != self._looked_at:
            self.refusing = within_budget(arrived, self._promise.refusal)
            self._looked_at = connection
        if self.refusing:
            raise StoreUnavailable(f"the store does not keep messages: {self.refusing}")

    def _verify(self, received: Received) -> tuple[Key, str]:
        """Return the key that signed the request, and its account. Every failure gets the same 403."""
        if not received.signature or not received.bases:
            raise Refusal(403, received.doubt or "no X-Twilio-Signature")
        accounts = owners(received.raw, received.fields, received.target, self._settings.by_sid)
        form = received.raw.signed_form if received.raw.method == "POST" else bytes
        try:
            urls = [url for base in received.bases for url in signed_urls(base, received.target)]
        except ValueError as error:
            raise Refusal(403, str(error)) from error
        for account in accounts:
            keys = keys_for(account.auth_tokens, account.shared_keys, received.signature_settings)
            key = verify_form(urls, form, received.signature, keys)
            if key is None:
                continue
            if names_body_hash(urls[0]) and not body_hash_matches(urls[0], _hashed(received.raw)):
                raise Refusal(403, "bodySHA256 is not the body's")
            return key, account.sid
        raise Refusal(403, "unknown AccountSid" if not accounts else "signature does not match")

    def _write(self, line: Line, status: int) -> None:
        seconds = time.monotonic() - line.arrived
        channel = line.channel if line.channel in PATHS else "unknown"
        answer = line.outcome if status == 200 else str(status)  # noqa: PLR2004
        metrics.webhooks(channel, answer).inc()
        metrics.ANSWERED.observe(seconds)
        write = self._log.error if status >= 500 else self._log.warning if status >= 400 else self._log.info  # noqa: PLR2004
        write(
            "webhook",
            channel=channel,
            outcome=line.outcome,
            answer=status,
            seconds=round(seconds, 4),
            **line.fields,
        )


def blueprint(view: WebhookView) -> Blueprint:
    """Return the routes of webhooks that `front` does not serve; the view refuses HEAD and OPTIONS."""
    webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")

    def webhook(channel: str) -> Response:
        return view.webhook(channel, request.environ).response()

    webhooks.add_url_rule(
        "/<channel>",
        view_func=webhook,
        methods=["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"],
        provide_automatic_options=False,
    )
    return webhooks


def _outcome(taken: Taken) -> str:
    """Return the outcome of the message, as used in the log and the metrics."""
    if taken.acceptance.state == "expired":  # a recorded request, sent again: docs/security.md
        return "expired"
    if taken.acceptance.kind == "duplicate":
        return "duplicate"
    return "accepted" if taken.route.flow else "unrouted"


def _account_sid(received: Received) -> str:
    """Return the account that a request claims, not yet verified."""
    return next((value for name, value in received.fields if name == "AccountSid"), "")


def _parse(received: Received, channel: str) -> Message:
    try:
        message = Message.parse(received.fields)
    except NotAMessage as error:
        raise Refusal(400, str(error)) from error
    if message.channel == WEB:
        raise Refusal(400, "messages of web chats are sent to /chat, not to a webhook")
    if channel not in ("message", message.channel):
        raise Refusal(400, f"a message of the channel {message.channel}, sent to the webhook of {channel}")
    return message


def _hashed(raw: Raw) -> bytes:
    return raw.body if raw.method == "POST" else b""
