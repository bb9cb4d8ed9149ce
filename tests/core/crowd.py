"""A simulated migration: how many of many contacts move to the new flow at each MigratePercent.

`python -m tests.core.crowd 1000000` simulates a million contacts.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from router.match.values import bucket
from router.message.inbound import Message
from router.queries.shadow import SHARES, shares_of
from router.routing.contact import moves
from router.routing.resolve import Entry, resolve
from tests.core.flows import AC, flow

OURS, OLD, NEW = "+15551234567", "FO" + "a" * 32, "FO" + "b" * 32


@dataclass(slots=True)
class Moved:
    """How many contacts moved at each percentage, and how many the dry run predicted.

    `turned` counts the contacts who moved at one percentage but not at a larger one.
    """

    contacts: int
    by_share: dict[int, int]
    shadow: dict[int, int] = field(default_factory=dict)
    turned: int = 0

    def errors(self) -> dict[int, float]:
        """Return, for each percentage, the error of the number moved, in per cent of all contacts."""
        return {share: abs(100 * count / self.contacts - share) for share, count in self.by_share.items()}


def entries(percent: int) -> Sequence[Entry]:
    """Return the address's entries while MigratePercent is `percent`."""
    given = {"ContactIdentity": OURS, "MigrateTo": NEW, "MigratePercent": str(percent), "IntegrationType": "proxy"}
    old = flow(given | {"Integration.ProxyServiceSid": "KS" + "1" * 32}, sid=OLD)
    new = flow({"IntegrationType": "conversation"}, sid=NEW, ContactIdentity=OURS, Match="false")
    return [Entry(OURS, "1", (old, new)), Entry("*", "", ())]


def crowd(contacts: int) -> Moved:
    """Route one message of each contact at each percentage, and count who moves."""
    known, found = {share: entries(share) for share in SHARES}, Moved(contacts, dict.fromkeys(SHARES, 0))
    places = []
    for number in range(contacts):
        fields = {"AccountSid": AC, "MessageSid": f"SM{number:032x}", "From": f"+1{2_000_000_000 + number}", "To": OURS}
        message, before = Message.parse(fields.items()), False
        for share in SHARES:
            choice = resolve(message, known[share]).choice
            assert choice is not None
            moved = bool(moves(None, choice, now=1, sticky_hours=24, may_move=True))
            found.by_share[share] += moved
            found.turned += before and not moved
            before = moved
        places.append(bucket(message))
    found.shadow = shares_of(places)
    return found


if __name__ == "__main__":
    began = time.monotonic()
    seen = crowd(int(sys.argv[1]))
    print(f"{seen.contacts:,} contacts in {time.monotonic() - began:.0f} s")  # noqa: T201
    for percent, off in seen.errors().items():
        print(f"  at {percent:3} %: {seen.by_share[percent]:,} move, off by {off:.4f} % of all")  # noqa: T201
    print(f"  the shadow {'says the same' if seen.shadow == seen.by_share else seen.shadow}")  # noqa: T201
    print(f"  {seen.turned} moved at a share and not at a larger one")  # noqa: T201
