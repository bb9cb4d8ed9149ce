"""Sends webhooks, one or very many, at their time, and keeps how each was answered."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import click

from router.cli.context import base_url
from router.cli.send.call import Answered, Fields, Method, NoAnswer, Signing, call
from router.cli.send.override import Overrides
from router.cli.send.pace import Pace
from router.cli.send.sent import Sent
from router.cli.terminal import unguarded
from router.settings import Settings
from router.url import is_http_url


class WebUrl(click.ParamType[str]):
    """The absolute http or https URL of a webhook."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        text = str(value)
        usable = is_http_url(text)
        if usable and not text.isascii():
            self.fail(f"{text[:80]!r} holds characters that belong percent-encoded", param, ctx)
        if not usable:
            self.fail(f"{text[:80]!r} is not an absolute http or https URL, as https://example.com/sms", param, ctx)
        try:
            Overrides.of(text)
        except ValueError as error:
            self.fail(f"the fragment of {text[:80]!r}: {error}", param, ctx)
        return text


_STEPS: Final = 200  # states of the progress bar: each one is written to the terminal
_MANY: Final = 20  # messages, from which on progress is shown


@dataclass(frozen=True, slots=True)
class Outgoing:
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
        sent = Sent(dict(self.form), Answered(0), url=self.url, tamper=self.signing.tamper)
        try:
            sent.answered = call(self.url, self.form, self.signing, signed_as=self.signed_as, method=self.method)
        except NoAnswer as error:
            if not self.fallback:
                raise
            sent.answered = error.answered
        if self.fallback and sent.verdict.fallback:
            # https://www.twilio.com/docs/usage/webhooks/messaging-webhooks: the same request, and what went wrong.
            more = [("ErrorCode", str(sent.verdict.code)), ("ErrorUrl", self.signed_as)]
            sent.failed, sent.url = sent.answered, self.fallback
            sent.answered = call(self.fallback, [*self.form, *more], self.signing, method=self.method)
        return sent


@dataclass(frozen=True, slots=True)
class Sending:
    """What was sent, in the order in which it was to be sent, and whether Ctrl-C ended it early."""

    sent: list[Sent]
    interrupted: bool = False


def dispatch(items: Sequence[tuple[float, Outgoing]], *, at_once: int, label: str) -> Sending:
    """Send webhooks, each at its time in seconds from now; those of one conversation one after the other.

    Args:
        items: with their times, which never go back.
        at_once: how many conversations are under way at once; 1: the webhooks go one after the other.
        label: what the progress bar says, on a terminal.

    Raises:
        NoAnswer: the first one could not be sent, for nobody is there. Of many, the others go on, as they would at
            Twilio.
    """
    results: list[Sent | None] = [None] * len(items)
    lock, answered_once = Lock(), False
    hidden = len(items) < _MANY or not sys.stderr.isatty()

    def send(numbered: tuple[int, Outgoing]) -> None:
        nonlocal answered_once
        n, outgoing = numbered
        try:
            sent = outgoing.send()
        except NoAnswer as error:
            if len(items) == 1 or not (answered_once or error.connected):
                raise
            sent = Sent(dict(outgoing.form), error.answered, url=outgoing.url, tamper=outgoing.signing.tamper)
        with lock:
            answered_once = True
            results[n] = sent
            bar.update(1)

    def lane(numbered: tuple[int, Outgoing]) -> tuple[str, str]:
        if at_once == 1:
            return "", ""
        form = dict(numbered[1].form)
        return form.get("From", ""), form.get("To", "")

    interrupted = False
    steps = max(1, len(items) // _STEPS)
    with click.progressbar(
        length=len(items), label=label, file=unguarded(sys.stderr), hidden=hidden, show_pos=True, update_min_steps=steps
    ) as bar:
        try:
            Pace(send, lane, at_once).run((at, (n, outgoing)) for n, (at, outgoing) in enumerate(items))
        except KeyboardInterrupt:
            interrupted = True
    return Sending([each for each in results if each is not None], interrupted)


def here(settings: Settings, channel: str) -> tuple[str, str]:
    """Return the webhook of the router that runs here, and how Twilio knows it, which is what is signed."""
    base, target = base_url(settings), f"/webhooks/{channel}"
    return base + target, (settings.public_urls or (base,))[0] + target
