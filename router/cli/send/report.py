"""Prints the results of sent messages: one message in full, many as numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich.text import Text

from router.cli.output import Facts, flow_line, print_facts, print_line, short, target_facts, word
from router.cli.send.sender import GOOD, OK, ON_ITS_WAY, Sent
from router.cli.send.signing import TAMPERS
from router.diagnosis.twilio_view import ERRORS, Answered
from router.flow.flex_flow import FlexFlow
from router.message.channel import webhook_paths
from router.printable import clean, number
from router.queries.delivery_json import not_twiml
from router.store.deliveries import Delivery

_FAILURES: Final = 10
# A rate was missed if sending took longer than its planned time by this factor, plus a second for the last answers.
_LATE: Final = 1.1
_GRACE: Final = 1.0
# Parameters of special messages, which are shown with the message.
_SPECIAL: Final = (
    "ButtonPayload", "InteractiveData", "FlowData", "Latitude", "Longitude", "Label", "OriginalRepliedMessageSid",
    "ReferralHeadline", "ReferralSourceUrl", "Forwarded", "MessagingServiceSid", "OptOutType", "ErrorCode", "ErrorUrl",
)  # fmt: skip
_WHY: Final = {
    400: "the parameters are not those of an inbound message on this channel",
    403: "the signature was not accepted: the router has another auth token or another public URL",
    404: f"no such webhook; the router's webhooks are {webhook_paths()}",
    503: "the message could not be stored; Twilio would now call the fallback URL",
}


def one_message(sent: Sent, channel: str, signer: str, *, watched: bool) -> Facts:
    """Describe one message: what was sent, how it was answered, and how it was delivered.

    `signer` is the key that signed it; `watched` is whether its delivery was looked up in a store.
    """
    form, media = sent.form, int(sent.form.get("NumMedia", "0"))
    message = [f"{channel}  {form['From']} → {form['To']}", *[f"“{form['Body']}”"] * bool(form.get("Body"))]
    message += [f"{form[f'MediaContentType{n}']}  {form[f'MediaUrl{n}']}" for n in range(media)]
    message += [f"{name} {form[name]}" for name in _SPECIAL if form.get(name)]
    facts: Facts = [("Sent", message), ("Signed", f"with {signer}{_broken(sent)}")]
    facts += [("Answer", _answer(sent.answered, wanted=bool(sent.tamper) and sent.good)), ("Twilio", _twilio(sent))]
    delivery = sent.delivery
    if delivery is not None:
        steps = [*delivery.why, *[f"→ {flow_line(sent.flow)}"] * (sent.flow is not None)]
        facts += [("Route", steps), ("Delivery", _delivery(delivery, sent.flow)), *target_facts(delivery)]
    elif sent.answered.status in OK:
        unknown = "this router's store has no record of it" if watched else "not known: no store is set here"
        facts.append(("Delivery", unknown))
    facts.append(("SID", sent.sid))
    return facts


def _broken(sent: Sent) -> str:
    return f"; made invalid: {TAMPERS[sent.tamper]}" if sent.tamper else ""


def _answer(answered: Answered, *, wanted: bool = False) -> list[str]:
    """Describe the answer to a call; `wanted` is whether a refusal was expected."""
    if not answered.status:
        return [f"none: {answered.reason}"]
    head = f"{answered.status} after {answered.seconds * 1000:.0f} ms"
    if answered.redirects:
        head += f" and {answered.redirects} redirect{'s' * (answered.redirects > 1)}"
    if answered.status in OK:
        return [head]
    if wanted:
        return [f"{head}: refused, as expected"]
    why = _WHY.get(answered.status, "")
    text = short(answered.body.decode(errors="replace").strip(), 200)
    return [f"{head}: {why or text}", *[text] * (bool(why) and bool(text))]


def _twilio(sent: Sent) -> list[str]:
    seen = sent.view
    if seen.does and not seen.fallback and sent.form.get("OptOutType") == "STOP":
        return [*seen.lines, "  which is refused (error 21610): the customer has just opted out"]
    return seen.lines


def _delivery(delivery: Delivery, flow: FlexFlow | None) -> Text:
    text = word(delivery.state)
    if delivery.attempts > 1 or delivery.state in ON_ITS_WAY:
        text.append(f", {delivery.attempts} attempt{'s' * (delivery.attempts != 1)} so far")
    if delivery.duplicates:
        text.append(f", a duplicate: received {delivery.duplicates + 1} times, delivered once")
    if delivery.error:
        text.append(f": {clean(delivery.error)}")
    if flow is not None and flow.is_held and delivery.state == "queued":
        text.append(": its flow is paused")
    if delivery.state not in GOOD:
        text.append(f"\nSee more with: router deliveries show {delivery.message_sid}")
    return text


def print_many(sent: Sequence[Sent], what: str, seconds: float, rate: float = 0, *, as_json: bool) -> None:
    """Print the numbers of many messages (`what`), and the first failures; as JSON, a line for each message.

    `seconds` is how long it took to send them, `rate` the wanted number a second, 0 for as many as possible.
    """
    if as_json:
        for each in sent:
            print_line(each.resource())
    elif sent:
        print_facts(_many(sent, what, seconds, rate))


def _many(sent: Sequence[Sent], what: str, seconds: float, rate: float) -> Facts:
    states = [each.delivery.state for each in sent if each.delivery]
    failed = [each for each in sent if not each.good]
    head = f"{len(sent):,} {what} of {number(len({each.form['From'] for each in sent}), 'customer')} to "
    addresses = {each.form["To"] for each in sent}
    head += next(iter(addresses)) if len(addresses) == 1 else number(len(addresses), "address", "es")
    reached = len(sent) / max(seconds, 0.001)
    short_of = ""
    if rate and seconds > len(sent) / rate * _LATE + _GRACE:
        short_of = f", instead of {rate:,g}: the answers were too slow"
    facts: Facts = [
        ("Sent", f"{head}, in {seconds:.1f} s ({reached:,.0f} a second{short_of})"),
        ("Answers", [_counts(_status(each) for each in sent), _percentiles(sent)]),
        ("Twilio", _views(sent)),
        ("Deliveries", f"{_counts(states) or 'not known'}{_duplicates(sent)}"),
    ]
    if wrong := _counts(filter(None, (not_twiml(each.delivery) for each in sent if each.delivery))):
        facts.append(("Targets answered", wrong))
    if failed:
        lines = [
            f"{each.sid}  {each.delivery.state if each.delivery else _status(each)}"
            f"  {each.delivery.error if each.delivery else each.view.logged or each.view.reason}".rstrip()
            for each in failed[:_FAILURES]
        ]
        facts.append(("Failed", [*lines, *[f"and {len(failed) - _FAILURES:,} more"] * (len(failed) > _FAILURES)]))
    return facts


def _duplicates(sent: Sequence[Sent]) -> str:
    times = sum(each.delivery is not None and each.delivery.duplicates > 0 for each in sent)
    return f"; {times:,} are duplicates, which are delivered once" if times else ""


def _percentiles(sent: Sequence[Sent]) -> str:
    times = sorted(each.answered.seconds * 1000 for each in sent if each.answered.status)
    if not times:
        return "no answer at all"
    p50, p95, p99 = (times[int(part * (len(times) - 1))] for part in (0.5, 0.95, 0.99))
    slowest = f"the slowest after {times[-1]:.0f} ms"
    return f"half within {p50:.0f} ms, 95 % within {p95:.0f} ms, 99 % within {p99:.0f} ms, {slowest}"


def _views(sent: Sequence[Sent]) -> list[str]:
    """Count what Twilio would do after the answers."""
    seen = [each.view for each in sent]
    spoken = sum(bool(each.does) and not each.fallback for each in seen)
    lines = [f"{spoken:,} answers with a reply for the customer, {len(seen) - spoken:,} without"]
    for code, times in Counter(each.code for each in seen if each.code).most_common():
        fallback = " and the fallback URL" if any(each.fallback for each in seen if each.code == code) else ""
        lines.append(f"{code} ({ERRORS[code]}) in the debugger{fallback} x {times:,}")
    return lines


def _status(sent: Sent) -> str:
    return str(sent.answered.status or "no answer")


def _counts(values: Iterable[object]) -> str:
    return ", ".join(f"{value} x {times:,}" for value, times in Counter(values).most_common())
