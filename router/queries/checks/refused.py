"""What `router doctor` says about refused requests: its findings, and each request in words."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from router.printable import ago
from router.queries.checks import Check
from router.queries.refusals import Report

# Seconds for which a refused request from Twilio fails the check; a cause that persists makes newer ones.
_RECENT: Final = 3600.0


def judged(found: Sequence[Report], now: float) -> Iterator[Check]:
    """Yield findings about refused requests: only those that one of our keys signed show an error in the set-up.

    `now` is in seconds since 1970.
    """
    for matched, repaired in product((True, False), (False, True)):
        if group := [each for each in found if (each.matched, each.over > 0) == (matched, repaired)]:
            yield _check(group, now)
    if not found:
        yield Check("signatures", "good", "no request was refused")


def _check(group: Sequence[Report], now: float) -> Check:
    """Return the finding about requests that are alike: signed by one of our keys or not, repaired or not."""
    newest = group[0]
    sentence = f"{len(group)} requests were" if len(group) > 1 else "1 request was"
    sentence += f" refused that {'Twilio signed' if newest.matched else 'none of our keys signed'}"
    if not newest.matched and not newest.over:
        return Check("signatures", "look", sentence, "see below; they may not come from Twilio at all")
    sentence += f", the last {ago(newest.at, now)}"
    if newest.matched:
        sentence += f": {', '.join(dict.fromkeys(finding.cause for each in group for finding in each.findings))}"
    if newest.over:
        repaired = ago(max(each.over for each in group), now)
        return Check("signatures", "good", f"{sentence}. Repaired: a message was accepted {repaired}")
    recent = newest.at >= (now - _RECENT) * 1000
    return Check("signatures", "bad" if recent else "look", sentence, "see below")


def report_lines(report: Report, now: float) -> Iterator[str]:
    """Yield the lines of a report; the first is its heading."""
    yield f"Refused {ago(report.at, now)}: {report.method} {report.url}"
    who = " ".join(each for each in (report.message_sid, report.sender, "→", report.to) if each)
    yield f"  {who}, {report.fields} fields, {report.length:,} bytes: {report.reason}"
    if report.over:
        yield f"  Repaired: a later message was accepted {ago(report.over, now)}"
    if report.matched:
        yield "  One of our keys signed it. The signature does not match because of this:"
    for finding in report.findings:
        yield f"  {finding.cause}: {finding.found}"
        yield f"    → {finding.advice}"
    if report.others:
        yield f"  (and {report.others:,} more in the same second, which were not recorded)"
