"""What the doctor says of requests that were refused.

It computes why from their records, when it is asked; and it says that it is over when messages to the same address are
accepted again.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from router.diagnosis.deviation import Finding
from router.diagnosis.refused import Refused
from router.diagnosis.signature import diagnose
from router.message.address import canonical, channel_of
from router.message.inbound import Message, Raw
from router.message.masking import mask
from router.printable import ago, clean
from router.queries.checks import Check
from router.settings import Settings
from router.sid import is_sid
from router.store import Store

# Records that are computed at most: some 20 ms each.
_DIAGNOSED: Final = 200
# Messages of an account that are looked at for one that was accepted afterwards, the newest first.
_ACCEPTED: Final = 1000
# A refused request that was Twilio's own fails the check for so long; where it goes on there are newer ones.
_RECENT: Final = 3600.0
_BASES: Final = 3


@dataclass(frozen=True, slots=True)
class Report:
    """One request that was refused, and why; all texts may be shown on a terminal.

    `at` is in ms since 1970; `reason` is what the log says. `url` has neither query nor credentials, `sender` and `to`
    are masked, `fields` and `length` count. `others` is how many more the process refused since the one before and kept
    no record of. `over` is when a message was accepted which shows that the cause is mended, in ms since 1970; 0 while
    there is none.
    """

    at: int
    reason: str
    method: str
    url: str
    account_sid: str
    message_sid: str
    sender: str
    to: str
    fields: int
    length: int
    matched: bool
    findings: tuple[Finding, ...]
    others: int = 0
    over: int = 0


def reports(
    given: Settings, opened: Store, *, since: int, most: int = _DIAGNOSED, leave_out: Collection[str] = ()
) -> list[Report]:
    """Return why each request was refused since then (in ms since 1970), the newest first.

    At most `most` of them, and none of the accounts `leave_out`.
    """
    newest = opened.refusals.newest(after=since)
    theirs = (each for each in newest if not leave_out or dict(each.fields()).get("AccountSid") not in leave_out)
    found = []
    for refused in islice(theirs, most):
        found.append(_report(refused, given))
        time.sleep(0)  # a process that also takes messages goes on with them in between
    accepted = {
        sid: _accepted(opened, sid, after=min(report.at for report, _ in found if report.account_sid == sid))
        for sid in {report.account_sid for report, _ in found if report.account_sid in given.by_sid}
    }
    return [replace(report, over=_over(report, to, accepted.get(report.account_sid, {}))) for report, to in found]


def _report(refused: Refused, given: Settings) -> tuple[Report, str]:
    """Return the report about a request, and the address that it was for, in canonical form."""
    doubt = "" if given.public_urls else refused.doubt
    diagnosis = diagnose(replace(refused, bases=_bases(refused, given), doubt=doubt), given.by_sid)
    fields = refused.fields()
    values = dict(fields)
    account_sid, message_sid = values.get("AccountSid", ""), values.get("MessageSid", "")
    from_, to = values.get("From", "")[:100], values.get("To", "")[:100]
    report = Report(
        at=refused.at,
        reason=clean(refused.reason),
        method=clean(refused.method),
        url=clean(diagnosis.url),
        account_sid=account_sid if is_sid(account_sid, "AC") else "",
        message_sid=message_sid if is_sid(message_sid, "SM", "MM") else "",
        sender=clean(mask(from_)) if from_ else "",
        to=clean(mask(to)) if to else "",
        fields=len(fields),
        length=refused.length,
        matched=diagnosis.matched,
        findings=tuple(Finding(each.cause, clean(each.found), clean(each.advice)) for each in diagnosis.findings),
        others=refused.others,
    )
    return report, canonical(to, channel_of(to))


def _bases(refused: Refused, given: Settings) -> tuple[str, ...]:
    """Return the public bases of the settings as they are now, the request's own first; without any, what it had."""
    hosts = [base.partition("://")[2].partition("/")[0] for base in refused.bases[:1]]
    now = sorted(given.public_urls, key=lambda base: base.partition("://")[2].partition("/")[0] not in hosts)
    return tuple(now[:_BASES]) or refused.bases


def _accepted(opened: Store, account_sid: str, *, after: int) -> Mapping[str, int]:
    """Return when the newest message to each address was accepted, by a webhook of its own; under "" that of all.

    A call of the fallback URL is none: it comes because the webhook fails. Nor is one that was fetched from Twilio.
    """
    newest: dict[str, int] = {}
    for delivery in islice(opened.deliveries.newest(account_sid, after=after + 1), _ACCEPTED):
        message = Message.parse(Raw.unpack(delivery.raw).fields()) if delivery.raw and not delivery.recovered else None
        if message and not message.error_code:
            newest.setdefault("", delivery.accepted_at)
            newest.setdefault(message.contact_identity, delivery.accepted_at)
    return newest


def _over(report: Report, to: str, accepted: Mapping[str, int]) -> int:
    """Return when a message showed that the cause is repaired; 0 if none did.

    A webhook belongs to the address that was written to, so it takes a message to the same one; any of the account's
    counts if the settings were corrected, or if the request names no address.
    """
    corrected = all(finding.cause == "settings" for finding in report.findings)
    at = accepted.get("" if corrected or not to else to, 0)
    return at if at > report.at else 0


def judged(found: Sequence[Report], now: float) -> Iterator[Check]:
    """Return findings about refused requests: only one that one of our keys signed shows a fault of the set-up.

    `now` is in seconds since 1970.
    """
    ours = [each for each in found if each.matched and not each.over]
    over = [each for each in found if each.matched and each.over]
    strange = [each for each in found if not each.matched and not each.over]
    past = [each for each in found if not each.matched and each.over]
    if ours:
        recent = ours[0].at >= (now - _RECENT) * 1000
        sentence = f"{_requests(ours)} refused that Twilio signed, the last {ago(ours[0].at, now)}: {_causes(ours)}"
        yield Check("signatures", "bad" if recent else "look", sentence, "see below")
    if over:
        sentence = f"{_requests(over)} refused that Twilio signed, the last {ago(over[0].at, now)}: {_causes(over)}. "
        sentence += f"It is over: a message was accepted {ago(max(each.over for each in over), now)}"
        yield Check("signatures", "good", sentence)
    if strange:
        advice = "see below; requests that do not come from Twilio look like this, too"
        yield Check("signatures", "look", f"{_requests(strange)} refused that none of our keys signed", advice)
    if past:
        sentence = f"{_requests(past)} refused that none of our keys signed, the last {ago(past[0].at, now)}. "
        sentence += f"It is over: a message was accepted {ago(max(each.over for each in past), now)}"
        yield Check("signatures", "good", sentence)
    if not found:
        yield Check("signatures", "good", "no request was refused")


def _requests(found: Sequence[Report]) -> str:
    return f"{len(found)} requests were" if len(found) != 1 else "1 request was"


def _causes(found: Sequence[Report]) -> str:
    return ", ".join(dict.fromkeys(finding.cause for each in found for finding in each.findings))


def report_lines(report: Report, now: float) -> Iterator[str]:
    """Write a report in lines; the first is its heading."""
    yield f"Refused {ago(report.at, now)}: {report.method} {report.url}"
    who = " ".join(each for each in (report.message_sid, report.sender, "→", report.to) if each)
    yield f"  {who}, {report.fields} fields, {report.length:,} bytes: {report.reason}"
    if report.over:
        yield f"  It is over: a later message was accepted {ago(report.over, now)}"
    if report.matched:
        yield "  One of our keys signed it. It would have matched, but for this:"
    for finding in report.findings:
        yield f"  {finding.cause}: {finding.found}"
        yield f"    → {finding.advice}"
    if report.others:
        yield f"  (and {report.others:,} more in the same second, which were only counted)"
