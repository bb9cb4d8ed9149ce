"""Answers Twilio for a stored message: immediately, or with the target's answer if it arrives in time."""

import time
from typing import Final
from xml.sax.saxutils import escape

from router import metrics
from router.delivery.intake import Taken, within_budget
from router.delivery.waiter import Waiter
from router.errors import StoreUnavailable
from router.flow.flex_flow import FlexFlow
from router.integrations import Integrations
from router.message.inbound import Message
from router.message.twiml import EMPTY_TWIML
from router.settings import Settings
from router.store.lanes import Acceptance, Lanes
from router.web.reply import Reply

# Half of `worker_connections` in router/process/gunicorn_conf.py: the other half continues to accept messages.
WAITING_MOST: Final = 500
# Seconds between two polls of the store for a message that another process delivers: the first, and the longest.
ASK_FIRST: Final = 0.1
ASK_MOST: Final = 1.0
# Seconds that a view waits beyond its deadline to settle an answer that the deliverer reserved for it.
PROMISE_SECONDS: Final = 2.0


class Answerer:
    """Answers webhooks; some of them wait for the target."""

    def __init__(self, settings: Settings, lanes: Lanes, integrations: Integrations) -> None:
        self._settings = settings
        self._lanes = lanes
        self._integrations = integrations
        self._waiting = 0

    def answer(  # noqa: PLR0911 - one return for each case
        self, taken: Taken, waiter: Waiter
    ) -> Reply:
        """Return the answer for a stored message: immediately, or with the target's answer if it arrives in time."""
        message, acceptance = taken.arrival.message, taken.acceptance
        if acceptance.kind == "duplicate" and _was_unusable(message.error_code):
            return Reply(EMPTY_TWIML)
        flow = taken.route.flow
        if acceptance.kind == "duplicate" and acceptance.state not in ("queued", "sending"):
            return self._repeat(taken)
        if flow is None:
            return Reply(EMPTY_TWIML)
        if flow.response == "redirect" and acceptance.kind != "duplicate":  # a duplicate was already queued
            return Reply(self._redirect(message, flow))
        if flow.response != "relay":
            return Reply(EMPTY_TWIML)
        if not self._worth_waiting(acceptance):
            return Reply(_fallback(flow))
        self._waiting += 1
        metrics.WAITING.inc()
        try:
            return self._wait(taken, flow, waiter)
        finally:
            self._waiting -= 1
            metrics.WAITING.dec()

    def _worth_waiting(self, acceptance: Acceptance) -> bool:
        return (acceptance.kind == "leased" or acceptance.head == "sending") and self._waiting < WAITING_MOST

    def _wait(self, taken: Taken, flow: FlexFlow, waiter: Waiter) -> Reply:
        message = taken.arrival.message
        deadline = taken.arrival.arrived + self._settings.relay_seconds
        pause = ASK_MOST if taken.acceptance.kind == "leased" else ASK_FIRST  # a local attempt notifies the waiter
        while not waiter.done.is_set() and (left := deadline - time.monotonic()) > 0:
            if waiter.done.wait(min(pause, left)) or left <= pause:
                break
            pause = min(2 * pause, ASK_MOST)
            try:
                state, answer, head = self._lanes.take_answer(
                    message.account_sid, message.message_sid, taken.arrival.lane, "webhook"
                )
            except StoreUnavailable:
                continue
            if state not in ("queued", "sending") and not waiter.done.is_set():
                return Reply(answer or (EMPTY_TWIML if state == "delivered" else _fallback(flow)))
            if state == "queued" and head != "sending":
                break  # the lane waits for a retry
        if waiter.promised:
            waiter.done.wait(PROMISE_SECONDS)
        if waiter.outcome == "delivered":
            return Reply(
                waiter.answer or EMPTY_TWIML, headers=tuple(("Set-Cookie", cookie) for cookie in waiter.cookies)
            )
        return Reply(_fallback(flow))

    def _repeat(self, taken: Taken) -> Reply:
        """Answer a duplicate of a settled message with the first answer, after taking the right to answer."""
        message, flow, acceptance = taken.arrival.message, taken.route.flow, taken.acceptance
        if acceptance.state == "redirected" and flow is not None and flow.response == "redirect":
            return Reply(self._redirect(message, flow))
        answer = acceptance.answer
        if answer and acceptance.answered != "webhook":
            _, answer, _ = within_budget(
                taken.arrival.arrived,
                lambda: self._lanes.take_answer(
                    message.account_sid, message.message_sid, taken.arrival.lane, "webhook"
                ),
            )
        if not answer and acceptance.state != "delivered" and flow is not None and flow.response == "relay":
            answer = _fallback(flow)
        return Reply(answer or EMPTY_TWIML)

    def _redirect(self, message: Message, flow: FlexFlow) -> bytes:
        """Tell Twilio to call the target itself: https://www.twilio.com/docs/messaging/twiml/redirect."""
        account = self._settings.account(message.account_sid)
        url = self._integrations.url(account, flow) if account else ""
        if not url:
            return EMPTY_TWIML
        return f'<?xml version="1.0" encoding="UTF-8"?><Response><Redirect>{escape(url)}</Redirect></Response>'.encode()


def _was_unusable(error_code: str) -> bool:
    """Return whether Twilio could not use the first answer: 11750 is too large, 12xxx is wrong TwiML."""
    return error_code == "11750" or (len(error_code) == 5 and error_code.startswith("12"))  # noqa: PLR2004


def _fallback(flow: FlexFlow) -> bytes:
    return flow.fallback_twiml.encode() if flow.fallback_twiml else EMPTY_TWIML
