"""Why requests were refused, for `router doctor` and the console.

The causes are computed from the stored records on each call. A cause counts as repaired when a message to the same
address is accepted again.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from router.diagnosis.deviation import Finding
from router.diagnosis.refused import Refused
from router.diagnosis.signature import diagnose
from router.message.address import canonical, channel_of
from router.message.inbound import Message
from router.message.masking import mask
from router.printable import clean
from router.settings import Settings
from router.sid import is_sid
from router.store import Store

# The maximum number of records that are diagnosed: about 20 ms each.
_DIAGNOSED: Final = 200
# The number of an account's newest messages that are searched for one accepted after a refusal.
_ACCEPTED: Final = 1000
_BASES: Final = 3


@dataclass(frozen=True, slots=True)
class Report:
    """A refused request, and why it was refused; its texts have no control characters.

    `at` is in ms since 1970; `reason` is that of the log. `url` has neither query nor credentials, `sender` and `to`
    are masked, `fields` is the number of fields and `length` that of bytes. `others` is the number of requests that the
    process refused since its previous record without a record. `over` is when an accepted message showed that the cause
    is repaired, in ms since 1970; 0 if none did.
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
    settings: Settings, store: Store, *, since: int, most: int = _DIAGNOSED, leave_out: Collection[str] = ()
) -> list[Report]:
    """Return why each request was refused since then (in ms since 1970), the newest first.

    At most `most` of them, and none of the accounts `leave_out`.
    """
    newest = store.refusals.newest(after=since)
    theirs = (each for each in newest if not leave_out or dict(each.fields()).get("AccountSid") not in leave_out)
    found = []
    for refused in islice(theirs, most):
        found.append(_report(refused, settings))
        time.sleep(0)  # lets this process accept messages
    accepted = {
        sid: _accepted(store, sid, after=min(report.at for report, _ in found if report.account_sid == sid))
        for sid in {report.account_sid for report, _ in found if report.account_sid in settings.by_sid}
    }
    return [replace(report, over=_over(report, to, accepted.get(report.account_sid, {}))) for report, to in found]


def _report(refused: Refused, settings: Settings) -> tuple[Report, str]:
    """Return the report about a request, and the canonical form of the address that it was sent to."""
    doubt = "" if settings.public_urls else refused.doubt
    diagnosis = diagnose(replace(refused, bases=_bases(refused, settings), doubt=doubt), settings.by_sid)
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


def _bases(refused: Refused, settings: Settings) -> tuple[str, ...]:
    """Return the current public bases, those of the request's host first; without current ones, the recorded ones."""
    hosts = [base.partition("://")[2].partition("/")[0] for base in refused.bases[:1]]
    now = sorted(settings.public_urls, key=lambda base: base.partition("://")[2].partition("/")[0] not in hosts)
    return tuple(now[:_BASES]) or refused.bases


def _accepted(store: Store, account_sid: str, *, after: int) -> Mapping[str, int]:
    """Return for each address when its newest message was accepted; the key "" has the newest of all.

    Only webhooks count. A call of the fallback URL does not, because the webhook has failed then; nor does a message
    that was fetched from Twilio.
    """
    newest: dict[str, int] = {}
    for delivery in islice(store.deliveries.newest(account_sid, after=after + 1), _ACCEPTED):
        message = Message.unpack(delivery.raw) if delivery.raw and not delivery.recovered else None
        if message and not message.error_code:
            newest.setdefault("", delivery.accepted_at)
            newest.setdefault(message.contact_identity, delivery.accepted_at)
    return newest


def _over(report: Report, to: str, accepted: Mapping[str, int]) -> int:
    """Return when a message showed that the cause is repaired; 0 if none did.

    Webhooks are set for each address, so only a message to the same address counts; any of the account's counts if the
    settings were wrong, or if the request names no address.
    """
    corrected = all(finding.cause == "settings" for finding in report.findings)
    at = accepted.get("" if corrected or not to else to, 0)
    return at if at > report.at else 0
