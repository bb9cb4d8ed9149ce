"""Sends webhooks, one or very many, at their time; keeps how each was answered and what became of its message."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import click

from router.cli.http import Answered, NoAnswer
from router.cli.running import base_url
from router.cli.send.call import call
from router.cli.send.pace import Pace
from router.cli.send.signing import Fields, Method, Signing
from router.cli.send.twilio_view import ERRORS, TwilioView, view_of
from router.cli.terminal import unguarded
from router.errors import RouterError
from router.flow.flex_flow import FlexFlow
from router.queries.deliveries import describe
from router.settings import Settings
from router.store import Store
from router.store.deliveries import Delivery

GOOD: Final = ("delivered", "redirected")
ON_ITS_WAY: Final = ("queued", "sending")
OK: Final = range(200, 300)
_REFUSED: Final = (401, 403)  # how a webhook says that a signature is wrong; the router says 403
# Between two looks at a delivery: short against what a person notices, long against what a look costs.
_LOOK: Final = 0.05
_STEPS: Final = 200  # states of the progress bar: each one is written to the terminal
_MANY: Final = 20  # messages, from which on progress is shown


@dataclass(slots=True)
class Sent:
    """One message that was sent: its form, its answer, and what the store knows of it.

    `tamper` says how it was broken on purpose, one of `TAMPERS`, or "". Where the webhook failed and the fallback URL
    was called, `failed` is the webhook's answer, and `answered` that of the fallback.
    """

    form: dict[str, str]
    answered: Answered
    url: str = ""
    tamper: str = ""
    failed: Answered | None = None
    delivery: Delivery | None = None
    flow: FlexFlow | None = None

    @property
    def sid(self) -> str:
        """Its MessageSid."""
        return self.form["MessageSid"]

    @property
    def good(self) -> bool:
        """Whether it was taken and, where that can be seen, delivered; whether it was refused, when it was tampered."""
        if self.tamper:
            return self.answered.status in _REFUSED
        return not self.view.fallback and (self.delivery is None or self.delivery.state in GOOD)

    @property
    def view(self) -> TwilioView:
        """What Twilio makes of the answer."""
        return view_of(self.answered)

    def resource(self) -> dict[str, Any]:
        """Return it for a program."""
        seen, failed = self.view, self.failed
        return {
            "sid": self.sid,
            "account_sid": self.form["AccountSid"],
            "from": self.form["From"],
            "to": self.form["To"],
            "body": self.form.get("Body", ""),
            "url": self.url,
            "tamper": self.tamper or None,
            "failed": {"status": failed.status or None, "error_code": view_of(failed).code} if failed else None,
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
    """A webhook to be sent.

    Args:
        url: where to.
        signed_as: the URL as it is written at Twilio.
        form: its parameters.
        signing: how it is signed.
        method: POST or GET.
        fallback: the URL that is called when the first one fails, "" for none.
    """

    url: str
    signed_as: str
    form: Fields = field(repr=False)
    signing: Signing
    method: Method = "POST"
    fallback: str = ""

    def send(self) -> Sent:
        """Send it, as Twilio does, and to the fallback URL if the first one fails. Raises NoAnswer."""
        sent = self.unanswered(Answered(0))
        try:
            sent.answered = call(self.url, self.form, self.signing, signed_as=self.signed_as, method=self.method)
        except NoAnswer as error:
            if not self.fallback:
                raise
            sent.answered = error.answered
        if self.fallback and sent.view.fallback:
            # https://www.twilio.com/docs/usage/webhooks/messaging-webhooks: the same request, and what went wrong.
            more = [("ErrorCode", str(sent.view.code)), ("ErrorUrl", self.signed_as)]
            sent.failed, sent.url = sent.answered, self.fallback
            sent.answered = call(self.fallback, [*self.form, *more], self.signing, method=self.method)
        return sent

    def unanswered(self, answered: Answered) -> Sent:
        """Return it as sent, with the answer that there was none."""
        return Sent(dict(self.form), answered, url=self.url, tamper=self.signing.tamper)


@dataclass(frozen=True, slots=True)
class Sending:
    """What was sent, in the order in which it was to be sent, and how many were wanted."""

    sent: list[Sent]
    wanted: int

    def follow(self, store: Store, seconds: float) -> None:
        """Read what became of every message that was taken, once all are done, or after so many seconds."""
        # One without an answer may have been taken.
        waiting = taken = [each for each in self.sent if each.answered.status in OK or not each.answered.status]
        deadline = time.monotonic() + seconds * (len(self.sent) == self.wanted)
        while waiting := [each for each in waiting if _state(each, store) in ON_ITS_WAY]:
            if time.monotonic() >= deadline:
                break
            time.sleep(_LOOK)
        for each in taken:
            account_sid = each.form["AccountSid"]
            each.delivery = store.deliveries.get(account_sid, each.sid)
            if each.delivery and each.delivery.flow_sid:
                each.flow = store.flows.get(account_sid, each.delivery.flow_sid)

    def exit_status(self) -> int:
        """Return the exit status of having sent these, and say it where Ctrl-C came before the end."""
        if len(self.sent) < self.wanted:
            click.echo(f"Interrupted: {len(self.sent):,} of {self.wanted:,} were sent.", err=True)
        return 0 if len(self.sent) == self.wanted and all(each.good for each in self.sent) else 1


def _state(sent: Sent, store: Store) -> str:
    return store.deliveries.state(sent.form["AccountSid"], sent.sid)


def dispatch(items: Sequence[tuple[float, Webhook]], *, at_once: int, label: str) -> Sending:
    """Send webhooks, each at its time in seconds from now; those of one conversation one after the other.

    Args:
        items: with their times, which never go back.
        at_once: how many conversations are under way at once; 1: the webhooks go one after the other.
        label: what the progress bar says, on a terminal.

    Raises:
        NoAnswer: the first one could not be sent, for nothing listens there. Of many, the others go on, as they would
            at Twilio.
    """
    results: list[Sent | None] = [None] * len(items)
    lock, answered_once = Lock(), False

    def send(numbered: tuple[int, Webhook]) -> None:
        nonlocal answered_once
        n, outgoing = numbered
        try:
            sent = outgoing.send()
        except NoAnswer as error:
            if len(items) == 1 or not (answered_once or error.connected):
                raise
            sent = outgoing.unanswered(error.answered)
        with lock:
            answered_once = True
            results[n] = sent
            bar.update(1)

    def lane(numbered: tuple[int, Webhook]) -> tuple[str, str]:
        if at_once == 1:
            return "", ""
        form = dict(numbered[1].form)
        return form.get("From", ""), form.get("To", "")

    hidden = len(items) < _MANY or not sys.stderr.isatty()
    steps = max(1, len(items) // _STEPS)
    with click.progressbar(
        length=len(items), label=label, file=unguarded(sys.stderr), hidden=hidden, show_pos=True, update_min_steps=steps
    ) as bar:
        try:
            Pace(send, lane, at_once).run((at, (n, outgoing)) for n, (at, outgoing) in enumerate(items))
        except KeyboardInterrupt:  # what was sent is reported
            click.echo(err=True)
    return Sending([each for each in results if each is not None], len(items))


def not_sent(error: NoAnswer, url: str | None) -> RouterError:
    """Say what to do when nothing could be sent: to the router that runs here, or to a URL."""
    if not url:
        return RouterError(f"{error}: start the router with `router run`, or say where it is with --url")
    return RouterError(f"{error}. Twilio would log error {error.code} ({ERRORS[error.code]}) and call the fallback URL")


def own_webhook(settings: Settings, channel: str) -> tuple[str, str]:
    """Return the webhook of the router that runs here, and how Twilio knows it, which is what is signed."""
    base, target = base_url(settings), f"/webhooks/{channel}"
    return base + target, (settings.public_urls or (base,))[0] + target
