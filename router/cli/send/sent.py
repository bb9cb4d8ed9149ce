"""A message that was sent as Twilio would: how it was answered, what Twilio makes of that, and what became of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from router.cli.send.call import Answered
from router.cli.send.verdict import Verdict, verdict
from router.flow.flex_flow import FlexFlow
from router.queries.deliveries import describe
from router.store import Store
from router.store.deliveries import Delivery

# Between two looks at a delivery: short against what a person notices, long against what a look costs.
_LOOK: Final = 0.05
GOOD: Final = ("delivered", "redirected")
ON_ITS_WAY: Final = ("queued", "sending")
OK: Final = range(200, 300)
_REFUSED: Final = (401, 403)  # how a webhook says that a signature is wrong; the router says 403


@dataclass(slots=True)
class Sent:
    """One message that was sent: its form, its answer, and what the store knows of it.

    `tamper` says how it was broken on purpose, one of `call.TAMPERS`, or "". Where the webhook failed and
    the fallback URL was called, `failed` is the webhook's answer, and `answered` that of the fallback.
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
        return not self.verdict.fallback and (self.delivery is None or self.delivery.state in GOOD)

    @property
    def verdict(self) -> Verdict:
        """What Twilio makes of the answer."""
        return verdict(self.answered)


def follow(sent: Sequence[Sent], store: Store, seconds: float) -> None:
    """Wait until every message that was taken is done, at most so long, and read what became of it."""
    # One without an answer may have been taken all the same.
    waiting = taken = [each for each in sent if each.answered.status in OK or not each.answered.status]
    deadline = time.monotonic() + seconds
    while waiting := [each for each in waiting if _state(each, store) in ON_ITS_WAY]:
        if time.monotonic() >= deadline:
            break
        time.sleep(_LOOK)
    for each in taken:
        account_sid = each.form["AccountSid"]
        each.delivery = store.deliveries.get(account_sid, each.sid)
        if each.delivery and each.delivery.flow_sid:
            each.flow = store.flows.get(account_sid, each.delivery.flow_sid)


def _state(sent: Sent, store: Store) -> str:
    return store.deliveries.state(sent.form["AccountSid"], sent.sid)


def resource(sent: Sent) -> dict[str, Any]:
    """Return one message for a program."""
    seen = sent.verdict
    return {
        "sid": sent.sid,
        "account_sid": sent.form["AccountSid"],
        "from": sent.form["From"],
        "to": sent.form["To"],
        "body": sent.form.get("Body", ""),
        "url": sent.url,
        "tamper": sent.tamper or None,
        "failed": _failed(sent.failed) if sent.failed else None,
        "status": sent.answered.status or None,
        "seconds": round(sent.answered.seconds, 4),
        "answer": sent.answered.body.decode(errors="replace"),
        "twilio": {
            "error_code": seen.code or None,
            "reason": seen.reason or None,
            "calls_fallback": seen.fallback,
            "does": [] if seen.fallback else list(seen.does),
        },
        "delivery": describe(sent.delivery) if sent.delivery else None,
    }


def _failed(answered: Answered) -> dict[str, Any]:
    """Return what became of the call of the webhook, where the fallback URL was called after it."""
    return {"status": answered.status or None, "error_code": verdict(answered).code}


def exit_status(sent: Sequence[Sent], wanted: int) -> int:
    """Return the exit status of having sent these, and say that they are fewer than wanted, where Ctrl-C came."""
    if len(sent) < wanted:
        click.echo(f"Interrupted: {len(sent):,} of {wanted:,} were sent.", err=True)
    return 0 if len(sent) == wanted and all(each.good for each in sent) else 1
