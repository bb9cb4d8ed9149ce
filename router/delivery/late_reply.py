"""Late replies: send by REST, at most once, an integration's answer that came too late for Twilio's webhook.

The right to answer is taken in the store, by the webhook or here, before anything is sent: a crash in between loses the
answer, but never sends it twice.
"""

import time
from collections.abc import Callable
from typing import Final

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from router.errors import NotAMessage, StoreUnavailable
from router.integrations.base import AttemptError, Failure
from router.integrations.messages import Messages
from router.language.text import is_opt_out
from router.message.inbound import Message
from router.message.late_reply import late_answer
from router.message.twiml import Twiml
from router.settings import Account, Settings
from router.store import Store
from router.store.lanes import Lease

# How long after its deadline a webhook may still take the right to answer: the time of a settle that is under way.
GRACE_SECONDS: Final = 2.0
# One request to Twilio, everything included.
SECONDS: Final = 10.0
# Concurrent requests to Twilio: a target that recovers may answer a thousand messages at once, and as many new TLS
# connections would delay the webhooks. Sixteen persistent connections send some hundred messages a second.
AT_ONCE: Final = 16
# The maximum number of ignored kinds of TwiML instructions named in a report.
NAMED: Final = 5


class Replier:
    """The late replies of one process; `report` is called for each, with its outcome in one sentence."""

    def __init__(
        self, store: Store, messages: Messages, settings: Settings, report: Callable[[Lease, str], None]
    ) -> None:
        self._store = store
        self._messages = messages
        self._settings = settings
        self._report = report
        self._hurry = Event()
        self._turns = BoundedSemaphore(AT_ONCE)
        self._greenlets: set[gevent.Greenlet[..., None]] = set()

    def begin(self, lease: Lease, twiml: Twiml) -> None:
        """Answer the sender of a delivered message, unless a webhook takes the right to answer, or no answer is due."""
        if lease.answered or lease.round:  # recovered, or replayed
            return
        greenlet = gevent.spawn(self._reply, lease, twiml)
        self._greenlets.add(greenlet)
        greenlet.rawlink(self._greenlets.discard)

    def hurry(self) -> None:
        """Stop waiting for webhooks, because no request is open any more."""
        self._hurry.set()

    def stop(self, seconds: float) -> None:
        """Wait for at most `seconds` until all replies are sent."""
        self.hurry()
        gevent.joinall(list(self._greenlets), timeout=seconds)

    def _reply(self, lease: Lease, twiml: Twiml) -> None:
        try:
            _, message = lease.read()
        except (NotAMessage, ValueError):
            return
        account = self._settings.account(lease.account_sid)
        if account is None:
            return
        self._hurry.wait(max(0.0, self._settings.relay_seconds + GRACE_SECONDS - self._age(lease)))
        with self._turns:
            self._reply_now(lease, account, message, twiml)

    def _reply_now(self, lease: Lease, account: Account, message: Message, twiml: Twiml) -> None:
        if self._age(lease) > self._settings.late_answer_seconds:
            self._note(lease, f"not sent: it came over {self._settings.late_answer_seconds:g} s after the message")
            return
        if message.opt_out_type or is_opt_out(message.body):
            self._note(lease, "not sent: the message is an opt-out")
            return
        try:
            _, answer, _ = self._store.lanes.take_answer(lease.account_sid, lease.message_sid, lease.lane, "rest")
        except StoreUnavailable:  # the right may have been granted to a webhook: no answer is better than two
            return
        if answer:
            self._note(lease, self._send(account, message, twiml))

    def _send(self, account: Account, message: Message, twiml: Twiml) -> str:
        late = late_answer(twiml, message.from_, message.to, message.channel)
        sent: list[str] = []
        failed = ""
        for outgoing in late.messages:
            try:
                with gevent.Timeout(SECONDS, AttemptError(Failure.UNKNOWN, f"no answer within {SECONDS:g} s")):
                    sent.append(self._messages.create(account, outgoing, from_=message.to, to=message.from_))
            except AttemptError as error:
                failed = error.reason
                break
        results = [f"sent by REST: {', '.join(sent)}"] if sent else []
        if failed:
            results.append(f"{len(late.messages) - len(sent)} of {len(late.messages)} not sent: {failed}")
        if late.left_out:
            kinds = list(dict.fromkeys(late.left_out))
            results.append(f"not carried out: {', '.join(kinds[:NAMED])}{' …' if len(kinds) > NAMED else ''}")
        return "; ".join(results) or "nothing in it is for the sender"

    def _age(self, lease: Lease) -> float:
        """Return how many seconds ago the message was accepted."""
        return lease.age + time.monotonic() - (lease.expires - self._store.lanes.lease_seconds)

    def _note(self, lease: Lease, outcome: str) -> None:
        self._report(lease, outcome)
        try:
            self._store.deliveries.note(lease.account_sid, lease.message_sid, outcome)
        except StoreUnavailable:
            return  # `report` has logged it
