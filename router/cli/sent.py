"""Messages that were sent as Twilio would: how each was answered, what Twilio makes of that, what became of it."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.text import Text

from router.cli.call import TAMPERS, Answered
from router.cli.show import Facts, clean, flow_line, short, word
from router.cli.verdict import ERRORS, Verdict, verdict
from router.flow import FlexFlow
from router.inquiry import describe
from router.store import Store
from router.store.deliveries import Delivery

# Between two looks at a delivery: short against what a person notices, long against what a look costs.
_LOOK: Final = 0.05
_GOOD: Final = ("delivered", "redirected")
_ON_ITS_WAY: Final = ("queued", "sending")
_OK: Final = range(200, 300)
_REFUSED: Final = (401, 403)  # how a webhook says that a signature is wrong; the router says 403
_FAILURES: Final = 10
_KEPT: Final = 0.9  # of a rate, from which on it counts as kept
# Parameters that make a message special, which are shown with it.
_TOLD: Final = (
    "ButtonPayload", "InteractiveData", "FlowData", "Latitude", "Longitude", "Label", "OriginalRepliedMessageSid",
    "ReferralHeadline", "ReferralSourceUrl", "Forwarded", "MessagingServiceSid", "OptOutType", "ErrorCode", "ErrorUrl",
)  # fmt: skip
_WHY: Final = {
    400: "the parameters are not those of an inbound message on this channel",
    403: "the signature was not accepted: another auth token than the router's, or another URL than it knows",
    404: "no such webhook; the router's are /webhooks/sms, …/whatsapp, …/facebook, …/rcs and …/message",
    503: "the message could not be kept safe; Twilio would now call the fallback URL",
}


@dataclass(slots=True)
class Sent:
    """One message that was sent: its form, its answer, and what the store knows of it.

    `tamper` says how it was broken on purpose, one of `router.cli.call.TAMPERS`, or "".
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
        """Whether it was taken and, where that can be seen, delivered; whether it was refused, when it was tampered."""
        if self.tamper:
            return self.answered.status in _REFUSED
        return not self.verdict.fallback and (self.delivery is None or self.delivery.state in _GOOD)

    @property
    def verdict(self) -> Verdict:
        """What Twilio makes of the answer."""
        return verdict(self.answered)


def follow(sent: Sequence[Sent], store: Store, seconds: float) -> None:
    """Wait until every message that was taken is done, at most so long, and read what became of it."""
    # One without an answer may have been taken all the same.
    waiting = taken = [each for each in sent if each.answered.status in _OK or not each.answered.status]
    deadline = time.monotonic() + seconds
    while waiting := [each for each in waiting if _state(each, store) in _ON_ITS_WAY]:
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


def one(sent: Sent, channel: str, signer: str, *, watched: bool) -> Facts:
    """Tell of one message: what was sent, answered, and done.

    Args:
        sent: the message.
        channel: of what kind it is.
        signer: what signed it.
        watched: whether there is a store that could know of it.
    """
    form, media = sent.form, int(sent.form.get("NumMedia", "0"))
    message = [f"{channel}  {form['From']} → {form['To']}", *[f"“{form['Body']}”"] * bool(form.get("Body"))]
    message += [f"{form[f'MediaContentType{n}']}  {form[f'MediaUrl{n}']}" for n in range(media)]
    message += [f"{name} {form[name]}" for name in _TOLD if form.get(name)]
    facts: Facts = [("Sent", message), ("Signed", f"with {signer}{_broken(sent)}"), ("Answer", _answer(sent))]
    facts.append(("Twilio", _twilio(sent)))
    delivery = sent.delivery
    if delivery is not None:
        steps = [*delivery.why, *[f"→ {flow_line(sent.flow)}"] * (sent.flow is not None)]
        facts += [("Route", steps), ("Delivery", _delivery(delivery, sent.flow))]
    elif sent.answered.status in _OK:
        unknown = "this router's store has no record of it" if watched else "not known: no store is named here"
        facts.append(("Delivery", unknown))
    facts.append(("SID", sent.sid))
    return facts


def _broken(sent: Sent) -> str:
    return f"; broken on purpose: {TAMPERS[sent.tamper]}" if sent.tamper else ""


def _answer(sent: Sent) -> list[str]:
    answered = sent.answered
    head = f"{answered.status} after {answered.seconds * 1000:.0f} ms"
    if answered.redirects:
        head += f" and {answered.redirects} redirect{'s' * (answered.redirects > 1)}"
    if answered.status in _OK:
        return [head]
    if sent.tamper and sent.good:
        return [f"{head}: refused, as it must be"]
    why = _WHY.get(answered.status, "")
    text = short(answered.body.decode(errors="replace").strip(), 200)
    return [f"{head}: {why or text}", *[text] * (bool(why) and bool(text))]


def _twilio(sent: Sent) -> list[str]:
    seen = sent.verdict
    if seen.does and not seen.fallback and sent.form.get("OptOutType") == "STOP":
        return [*seen.lines, "  which is refused (error 21610): the customer has just opted out"]
    return seen.lines


def _delivery(delivery: Delivery, flow: FlexFlow | None) -> Text:
    text = word(delivery.state)
    if delivery.attempts > 1 or delivery.state in _ON_ITS_WAY:
        text.append(f", {delivery.attempts} attempt{'s' * (delivery.attempts != 1)} so far")
    if delivery.duplicates:
        text.append(f", a duplicate: it came {delivery.duplicates + 1} times and goes once")
    if delivery.error:
        text.append(f": {clean(delivery.error)}")
    if flow is not None and flow.paused and delivery.state == "queued":
        text.append(": its flow is paused")
    if delivery.state not in _GOOD:
        text.append(f"\nSee more with: router deliveries show {delivery.message_sid}")
    return text


def many(sent: Sequence[Sent], what: str, seconds: float, rate: float = 0) -> Facts:
    """Tell of many messages in numbers, and of the first that failed one by one.

    Args:
        sent: the messages, at least one.
        what: what they are, as `sms messages`.
        seconds: how long it took to send them.
        rate: how many a second were wanted, 0 for as many as there could be.
    """
    states = [each.delivery.state for each in sent if each.delivery]
    failed = [each for each in sent if not each.good]
    head = f"{len(sent):,} {what} of {_number({each.form['From'] for each in sent}, 'customer')} to "
    addresses = {each.form["To"] for each in sent}
    head += next(iter(addresses)) if len(addresses) == 1 else _number(addresses, "address", "es")
    reached = len(sent) / max(seconds, 0.001)
    short_of = f", where {rate:,g} were wanted: the answers came too late for more" if reached < _KEPT * rate else ""
    facts: Facts = [
        ("Sent", f"{head}, in {seconds:.1f} s ({reached:,.0f} a second{short_of})"),
        ("Answers", [_counts(_status(each) for each in sent), _percentiles(sent)]),
        ("Twilio", _views(sent)),
        ("Deliveries", f"{_counts(states) or 'not known'}{_duplicates(sent)}"),
    ]
    if failed:
        lines = [
            f"{each.sid}  {each.delivery.state if each.delivery else _status(each)}"
            f"  {each.delivery.error if each.delivery else each.verdict.logged or each.verdict.reason}".rstrip()
            for each in failed[:_FAILURES]
        ]
        facts.append(("Not well", [*lines, *[f"and {len(failed) - _FAILURES:,} more"] * (len(failed) > _FAILURES)]))
    return facts


def _number(values: set[str], name: str, plural: str = "s") -> str:
    return f"{len(values):,} {name}{plural * (len(values) > 1)}"


def _duplicates(sent: Sequence[Sent]) -> str:
    number = sum(each.delivery is not None and each.delivery.duplicates > 0 for each in sent)
    return f"; {number:,} came before, and go once" if number else ""


def _percentiles(sent: Sequence[Sent]) -> str:
    times = sorted(each.answered.seconds * 1000 for each in sent if each.answered.status)
    if not times:
        return "nobody answered"
    half, most, nearly = (times[int(part * (len(times) - 1))] for part in (0.5, 0.95, 0.99))
    slowest = f"the slowest after {times[-1]:.0f} ms"
    return f"half within {half:.0f} ms, 95 % within {most:.0f} ms, 99 % within {nearly:.0f} ms, {slowest}"


def _views(sent: Sequence[Sent]) -> list[str]:
    """Say in numbers what Twilio makes of the answers."""
    seen = [each.verdict for each in sent]
    spoken = sum(bool(each.does) and not each.fallback for each in seen)
    said = [f"{spoken:,} answered with something for the customer, {len(seen) - spoken:,} with nothing"]
    for code, number in Counter(each.code for each in seen if each.code).most_common():
        fallback = " and the fallback URL" if any(each.fallback for each in seen if each.code == code) else ""
        said.append(f"{code} ({ERRORS[code]}) in the debugger{fallback} x {number:,}")
    return said


def _status(sent: Sent) -> str:
    return str(sent.answered.status or "no answer")


def _counts(values: Iterable[object]) -> str:
    return ", ".join(f"{value} x {number:,}" for value, number in Counter(values).most_common())


def exit_status(sent: Sequence[Sent], wanted: int) -> int:
    """Return the exit status of having sent these, and say that they are fewer than wanted, where Ctrl-C came."""
    if len(sent) < wanted:
        click.echo(f"Interrupted: {len(sent):,} of {wanted:,} were sent.", err=True)
    return 0 if len(sent) == wanted and all(each.good for each in sent) else 1
