"""Sends webhooks, one or many, at their times, and keeps each answer and the state of its message."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import click

from router.cli.http import NoAnswer
from router.cli.progress import progress
from router.cli.running import base_url
from router.cli.send.call import call
from router.cli.send.pace import send_paced
from router.cli.send.signing import Fields, Method, Signing
from router.diagnosis.twilio_view import ERRORS, Answered, TwilioView, view_of
from router.errors import RouterError
from router.flow.flex_flow import FlexFlow
from router.queries.delivery_json import describe
from router.settings import Settings
from router.store import Store
from router.store.deliveries import Delivery

GOOD: Final = ("delivered", "redirected")
ON_ITS_WAY: Final = ("queued", "sending")
OK: Final = range(200, 300)
_REFUSED: Final = (401, 403)  # the answers of webhooks to a wrong signature; the router's is 403
# Seconds between two polls of a delivery: a person notices no delay, and the load on the store is small.
_POLL_EVERY: Final = 0.05
_MANY: Final = 20  # the minimum number of messages for which progress is shown


@dataclass(slots=True)
class Sent:
    """One message that was sent: its form, its answer, and its delivery in the store.

    `tamper` is the way in which it was made invalid, one of `TAMPERS`, or "".
    """

    form: dict[str, str]
    answered: Answered
    url: str = ""
    tamper: str = ""
    delivery: Delivery | None = None
    flow: FlexFlow | None = None

    @property
    def sid(self) -> str:
        """Its MessageSid."""
        return self.form["MessageSid"]

    @property
    def good(self) -> bool:
        """Whether it was accepted and, if its delivery is known, delivered; a tampered message must be refused."""
        if self.tamper:
            return self.answered.status in _REFUSED
        return not self.view.fallback and (self.delivery is None or self.delivery.state in GOOD)

    @property
    def view(self) -> TwilioView:
        """What Twilio would do after the answer."""
        return view_of(self.answered)

    def resource(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        seen = self.view
        return {
            "sid": self.sid,
            "account_sid": self.form["AccountSid"],
            "from": self.form["From"],
            "to": self.form["To"],
            "body": self.form.get("Body", ""),
            "url": self.url,
            "tamper": self.tamper or None,
            "status": self.answered.status or None,
            "seconds": round(self.answered.seconds, 4),
            "answer": self.answered.body.decode(errors="replace"),
            "twilio": {
                "error_code": seen.code or None,
                "reason": seen.reason or None,
                "calls_fallback": seen.fallback,
                "does": [] if seen.fallback else list(seen.does),
            },
            "delivery": describe(self.delivery) if self.delivery else None,
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook to be sent to `url`; `signed_as` is its URL as it is set at Twilio."""

    url: str
    signed_as: str
    form: Fields = field(repr=False)
    signing: Signing
    method: Method = "POST"

    def send(self) -> Sent:
        """Send it, as Twilio does. Raises NoAnswer."""
        return self.sent(call(self.url, self.form, self.signing, signed_as=self.signed_as, method=self.method))

    def sent(self, answered: Answered) -> Sent:
        """Return it as a sent message with this answer."""
        return Sent(dict(self.form), answered, url=self.url, tamper=self.signing.tamper)


@dataclass(frozen=True, slots=True)
class Sending:
    """The sent messages in order, the number that should have been sent, and the seconds that it took."""

    sent: list[Sent]
    wanted: int
    seconds: float

    def follow(self, store: Store, seconds: float) -> None:
        """Read the deliveries of all accepted messages when all are finished, or after so many seconds."""
        # A message without an answer may have been accepted.
        waiting = taken = [each for each in self.sent if each.answered.status in OK or not each.answered.status]
        deadline = time.monotonic() + seconds * (len(self.sent) == self.wanted)
        while waiting := [each for each in waiting if _state(each, store) in ON_ITS_WAY]:
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_EVERY)
        for each in taken:
            account_sid = each.form["AccountSid"]
            each.delivery = store.deliveries.get(account_sid, each.sid)
            if each.delivery and each.delivery.flow_sid:
                each.flow = store.flows.get(account_sid, each.delivery.flow_sid)

    def exit_status(self) -> int:
        """Return the exit status of the command; print a notice if Ctrl-C interrupted it."""
        if len(self.sent) < self.wanted:
            click.echo(f"Interrupted: {len(self.sent):,} of {self.wanted:,} were sent.", err=True)
        return 0 if len(self.sent) == self.wanted and all(each.good for each in self.sent) else 1


def _state(sent: Sent, store: Store) -> str:
    return store.deliveries.state(sent.form["AccountSid"], sent.sid)


def dispatch(  # noqa: PLR0913 - the webhooks, how they are sent, and where their deliveries are looked up
    items: Sequence[tuple[float, Webhook]],
    *,
    at_once: int,
    label: str,
    url: str | None,
    store: Store | None,
    wait: float,
) -> Sending:
    """Send webhooks, each at its time in seconds from now, and those of one conversation one after the other.

    `at_once` is how many conversations are sent at once; with 1 all webhooks are sent one after the other. The
    deliveries are read from the store, when all are finished or after `wait` seconds. `url` is the value of --url.

    Raises:
        RouterError: the first webhook was not answered. A later one without an answer does not stop the others.
    """
    results: list[Sent | None] = [None] * len(items)
    began, lock, answered_once = time.monotonic(), Lock(), False

    def send(numbered: tuple[int, Webhook]) -> None:
        nonlocal answered_once
        n, outgoing = numbered
        try:
            sent = outgoing.send()
        except NoAnswer as error:
            if len(items) == 1 or not (answered_once or error.connected):
                raise
            sent = outgoing.sent(error.answered)
        with lock:
            answered_once = True
            results[n] = sent
            bar.update(1)

    def lane(numbered: tuple[int, Webhook]) -> tuple[str, str]:
        if at_once == 1:
            return "", ""
        form = dict(numbered[1].form)
        return form.get("From", ""), form.get("To", "")

    with progress(label, len(items), least=_MANY) as bar:
        try:
            send_paced(((at, (n, outgoing)) for n, (at, outgoing) in enumerate(items)), send, lane, at_once)
        except NoAnswer as error:
            raise _not_sent(error, url) from None
        except KeyboardInterrupt:  # the messages sent so far are reported
            click.echo(err=True)
    seconds = time.monotonic() - began
    sending = Sending([each for each in results if each is not None], len(items), seconds)
    if store is not None:
        sending.follow(store, wait)
    return sending


def _not_sent(error: NoAnswer, url: str | None) -> RouterError:
    """Return the error for messages that could not be sent to the local router, or to the URL of --url."""
    if not url:
        return RouterError(f"{error}: start the router with `router run`, or set its URL with --url")
    return RouterError(f"{error}. Twilio would log error {error.code} ({ERRORS[error.code]}) and call the fallback URL")


def webhook_url(url: str | None, settings: Settings, channel: str) -> tuple[str, str]:
    """Return the URL to send to, and the URL that is signed: those of --url, or else of the router that runs here.

    The router's webhook is signed with its URL as it is set at Twilio.
    """
    if url:
        return url, url
    base, target = base_url(settings), f"/webhooks/{channel}"
    return base + target, (settings.public_urls or (base,))[0] + target
