"""What `router simulate` sent: how it was answered and what became of it, told to a person or to a program."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from router.cli.inbound import Answered
from router.cli.show import Facts, clean, flow_line, short, spoken, word
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
_WHY: Final = {
    400: "the parameters are not those of an inbound message on this channel",
    403: "the signature was not accepted: another auth token than the router's, or another URL than it knows",
    404: "no such webhook; the router's are /webhooks/sms, …/whatsapp, …/facebook, …/rcs and …/message",
    503: "the message could not be kept safe; Twilio would now call the fallback URL",
}


@dataclass(slots=True)
class Sent:
    """One message that was sent: its form, its answer, and what the store knows of it.

    `tampered` says that it was changed on purpose after it was signed.
    """

    form: dict[str, str]
    answered: Answered
    tampered: bool = False
    delivery: Delivery | None = None
    flow: FlexFlow | None = None

    @property
    def sid(self) -> str:
        """Its MessageSid."""
        return self.form["MessageSid"]

    @property
    def good(self) -> bool:
        """Whether it was taken and, where that can be seen, delivered; whether it was refused, when it was tampered."""
        if self.tampered:
            return self.answered.status in _REFUSED
        return self.answered.status in _OK and (self.delivery is None or self.delivery.state in _GOOD)


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


def resource(sent: Sent, url: str) -> dict[str, Any]:
    """Return one message for a program."""
    return {
        "sid": sent.sid,
        "account_sid": sent.form["AccountSid"],
        "from": sent.form["From"],
        "to": sent.form["To"],
        "body": sent.form["Body"],
        "url": url,
        "status": sent.answered.status or None,
        "seconds": round(sent.answered.seconds, 4),
        "answer": sent.answered.body.decode(errors="replace"),
        "delivery": describe(sent.delivery) if sent.delivery else None,
    }


def one(sent: Sent, channel: str, *, watched: bool) -> Facts:
    """Tell of one message: what was sent, answered, and done.

    Args:
        sent: the message.
        channel: of what kind it is.
        watched: whether there is a store that could know of it.
    """
    form, media = sent.form, int(sent.form["NumMedia"])
    message = [f"{channel}  {form['From']} → {form['To']}", *[f"“{form['Body']}”"] * bool(form["Body"])]
    message += [f"{form[f'MediaContentType{n}']}  {form[f'MediaUrl{n}']}" for n in range(media)]
    facts: Facts = [("Sent", message), ("Answer", _answer(sent))]
    delivery = sent.delivery
    if delivery is not None:
        steps = [*delivery.why, *[f"→ {flow_line(sent.flow)}"] * (sent.flow is not None)]
        facts += [("Route", steps), ("Delivery", _delivery(delivery, sent.flow))]
    elif sent.answered.status in _OK:
        unknown = "this router's store has no record of it" if watched else "not known: no store is named here"
        facts.append(("Delivery", unknown))
    facts.append(("SID", sent.sid))
    return facts


def _answer(sent: Sent) -> list[str]:
    answered = sent.answered
    head = f"{answered.status} after {answered.seconds * 1000:.0f} ms"
    if answered.status not in _OK:
        if sent.tampered and sent.good:
            return [f"{head}: refused, as it must be: it was changed after it was signed"]
        why = _WHY.get(answered.status, "")
        text = short(answered.body.decode(errors="replace").strip(), 200)
        return [f"{head}: {why or text}", *[text] * (bool(why) and bool(text))]
    media_type = answered.content_type.partition(";")[0].strip().lower()
    if media_type == "text/plain" and answered.body.strip():  # Twilio sends it as it is
        lines: list[str] | None = answered.body.decode(errors="replace").strip().splitlines()
    else:
        lines = spoken(answered.body) if answered.body.strip() else []
    if lines is None:
        return [f"{head}: no TwiML that Twilio could use (error 12100 or 12300), as {media_type or 'no content type'}"]
    return [f"{head}: the customer gets", *(f"  {line}" for line in lines)] if lines else [f"{head}: nothing to say"]


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


def many(sent: Sequence[Sent], channel: str) -> Facts:
    """Tell of many messages in numbers, and of the first that failed one by one."""
    customers = len({each.form["From"] for each in sent})
    slowest = max(each.answered.seconds for each in sent) * 1000
    states = [each.delivery.state for each in sent if each.delivery]
    failed = [each for each in sent if not each.good]
    facts: Facts = [
        (
            "Sent",
            f"{len(sent)} {channel} messages of {customers} customer{'s' * (customers > 1)} to {sent[0].form['To']}",
        ),
        ("Answers", f"{_counts(_status(each) for each in sent)}; the slowest after {slowest:.0f} ms"),
        ("Deliveries", _counts(states) or "not known"),
    ]
    if failed:
        lines = [
            f"{each.sid}  {each.delivery.state if each.delivery else _status(each)}"
            f"  {each.delivery.error if each.delivery else ''}".rstrip()
            for each in failed[:_FAILURES]
        ]
        facts.append(("Not well", [*lines, *[f"and {len(failed) - _FAILURES} more"] * (len(failed) > _FAILURES)]))
    return facts


def _status(sent: Sent) -> str:
    return str(sent.answered.status or "no answer")


def _counts(values: Iterable[object]) -> str:
    return ", ".join(f"{value} x {number}" for value, number in Counter(values).most_common())
