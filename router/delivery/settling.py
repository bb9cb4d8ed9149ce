"""Pure functions that make the settlement of a head from the result of its attempt."""

from collections.abc import Sequence
from typing import Any

from router.delivery import retry
from router.delivery.reading import Reading
from router.flow.flex_flow import FlexFlow
from router.integrations.base import AttemptError
from router.message.twiml import Answer, Excerpt
from router.store.lanes import Lease, Settlement


def unsent(lease: Lease) -> Settlement | None:
    """Return the settlement of a head that must not be sent any more; None if it is to be sent."""
    flow = lease.flow
    if flow is None or not flow.enabled:
        return Settlement("unrouted", fields={"error": _unrouted(lease)})
    if lease.age >= flow.validity_period:
        reason = f"not delivered within its ValidityPeriod of {flow.validity_period} s"
        return Settlement("undelivered", fields={"error": reason})
    return None


def passed_on(lease: Lease, successor: FlexFlow) -> Settlement:
    """Return the settlement that moves a message to its flow's successor; it stays the head of its lane."""
    reason = f"{lease.flow_sid} was disabled at the end of its migration: the message goes to {successor.sid}"
    fields: dict[str, str | int] = {"flow": successor.sid, "failures": 0, "refusals": 0}
    return Settlement("release", fields=fields, history=f"{lease.attempts} passed-on - 0.000 {reason}")


def delivered(lease: Lease, answer: Answer, reading: Reading, seconds: float, *, promised: bool) -> Settlement:
    """Settle a success, and store its TwiML; `promised` is whether a waiting view has the right to answer with it."""
    fields = _kept(reading.excerpt)
    if reading.twiml is not None:
        fields["answer"] = reading.twiml.xml
        if promised:
            fields["answered"] = "webhook"
    if reading.shown:
        fields["replied"] = reading.shown
    history = f"{lease.attempts} delivered {answer.status} {seconds:.3f} {reading.wrong or answer.note}"
    return Settlement("delivered", fields=fields, history=history.rstrip())


def failed(  # noqa: PLR0913 - the attempt, and the parameters of the decision
    lease: Lease, flow: FlexFlow, error: AttemptError, seconds: float, *, delays: Sequence[float], jitter: float
) -> Settlement:
    """Settle a failure as `retry.judge` decides."""
    tries = retry.Tries(lease.failures, lease.refusals, lease.age + seconds, lease.lost)
    verdict = retry.judge(error, flow, tries, delays=delays, jitter=jitter)
    reason = verdict.reason.encode(errors="replace").decode()  # a handler's error may contain lone surrogates
    fields = _kept(error.excerpt)
    fields |= {"failures": verdict.failures, "refusals": verdict.refusals, "error": reason}
    if verdict.lost and flow.integration.type == "handler":
        fields["lost"] = verdict.lost
    return Settlement(
        verdict.outcome,
        delay=verdict.delay,
        fields=fields,
        history=f"{lease.attempts} {error.failure.value} {error.status or '-'} {seconds:.3f} {reason}",
    )


def logged(settlement: Settlement, error: AttemptError | None) -> str:
    """Return why a message was not delivered, without text that must not be logged."""
    reason = str((settlement.fields or {}).get("error", ""))
    if error is None:
        return reason
    return error.logged + (reason.removeprefix(error.reason) if reason.startswith(error.reason) else "")


def _kept(excerpt: Excerpt | None) -> dict[str, Any]:
    """Return the field for the excerpt of an answer that cannot be used, as `Delivery.excerpt` reads it."""
    return {"said": f"{excerpt.type}\n{excerpt.text}".encode(errors="replace")} if excerpt else {}


def _unrouted(lease: Lease) -> str:
    if lease.flow is None:
        return f"its flow {lease.flow_sid or '(none)'} was deleted, or cannot be read, before it could be delivered"
    return f"its flow {lease.flow_sid} was disabled before the message could be delivered"
