"""How flows are written: one script for one flow or for several that belong together."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.errors import FlowConflict, InvalidFlow, RouterError
from router.flow.flex_flow import FlexFlow, from_record, to_record
from router.match import compile_expression
from router.store.changes import KEPT, describe
from router.store.client import Word, script
from router.store.keys import AccountKeys

# Flows that an address may have. A message's routing reads them all, and so does a write that looks for a default.
ADDRESS_MOST: Final = 500
# Steps (router.match.Expression) that the conditions of an address may take together: 50 ms at worst for each message,
# in which the process turns to others every 5 ms. That is 500 conditions that look for a word with contains(), 300 that
# do with a regular expression, or 47 whose regular expressions have five words.
STEPS_MOST: Final = 50_000
# Letters of a code of ISO 639-1 or 639-3. Any name of five to eight letters may be a language, too: RFC 5646, 2.2.1.
_CODE: Final = 3


class FlowChanged(RouterError):  # noqa: N818 - named for what it says
    """Somebody else changed the flow between our read and our write: read again and decide again."""


def parse_record(record: bytes) -> FlexFlow | None:
    """Read a stored flow; None for the empty record, which is a flow that was deleted."""
    return from_record(record.split(b" ", 3)[3].decode()) if record else None


def format_record(flow: FlexFlow) -> str:
    """Write a flow as the scripts read it: target (none where it is disabled), paused, validity in seconds, JSON."""
    target = flow.target if flow.enabled else "none"
    return f"{target} {int(flow.paused)} {flow.validity_period} {to_record(flow)}"


@dataclass(frozen=True, slots=True)
class FlowWrite:
    """One flow as it shall be, and as the caller read it; `after` is None to remove it, `before` to create it.

    `only_default`: whether a disabled flow without language and match on the same address is a conflict too.
    """

    after: FlexFlow | None
    before: FlexFlow | None = None
    only_default: bool = False

    @property
    def flow(self) -> FlexFlow:
        """The flow as it will be, or as it was when it is to be removed."""
        flow = self.after or self.before
        assert flow is not None  # noqa: S101 - a write has one of them
        return flow

    @property
    def rule(self) -> str:
        """Which other flow without language and match may not have the address, as the script asks."""
        if self.after is None or not self.after.is_default:
            return ""
        return "any" if self.only_default else "enabled" if self.after.enabled else ""


def command(writes: Sequence[FlowWrite], by: str, stored: Mapping[int, bytes]) -> tuple[Word, ...]:
    """Return the command that makes some writes of one account, all or none.

    Args:
        writes: what to write, one of each flow.
        by: who does it, for the list of changes.
        stored: by the place of a write, the bytes to be written over where they are not those that this version would
            have written.
    """
    account = AccountKeys(writes[0].flow.account_sid)
    if len(writes) == 1 and writes[0].after is None:
        return _delete(account, writes[0], by, stored.get(0))
    keys: list[Word] = [account.flows, account.changes, account.languages]
    # A language has one model, whatever its regions and scripts; only ISO 639's codes of two or three letters have one.
    named = {tag.partition("-")[0] for write in writes if write.after for tag in write.after.language}
    languages = sorted(code for code in named if len(code) <= _CODE)
    args: list[Word] = [secrets.token_urlsafe(8), account.own_flows, ADDRESS_MOST, STEPS_MOST, by, KEPT]
    args.append(" ".join(languages))
    for place, write in enumerate(writes):
        flow, before = write.flow, write.before or write.flow
        keys += (
            account.own_flows + flow.sid,
            account.addresses + flow.contact_identity,
            account.addresses + before.contact_identity,
            account.named(flow.friendly_name),
            account.named(before.friendly_name),
        )
        args += (
            flow.sid,
            format_record(write.after) if write.after else "",
            stored.get(place) or (format_record(write.before) if write.before else ""),
            flow.channel_type,
            write.rule,
            _summary(write.after) if write.after else "",
            describe(write.before, write.after),
        )
    return script("put_flows", keys, args)


def check(writes: Sequence[FlowWrite], reply: list[Any]) -> None:
    """Raise what the script's reply says.

    Raises:
        FlowConflict: another enabled flow without language and match has the address.
        FlowChanged: a stored flow is not what the caller read any more.
        InvalidFlow: the address has too many flows.
    """
    if reply[0] == b"ok":
        return
    flow = writes[reply[1] - 1].flow
    if reply[0] == b"changed":
        raise FlowChanged(f"{flow.sid} was changed or removed by somebody else meanwhile")
    if reply[0] == b"conflict":
        raise FlowConflict(
            "ContactIdentity",
            f"{flow.contact_identity} has an enabled {flow.channel_type} flow without Language and "
            f"Match already: {reply[2].decode()}. Disable that one, or give one of them a Language or a Match",
        )
    if reply[0] == b"slow":
        raise InvalidFlow(
            "Match",
            f"takes up to {_steps(flow):,} steps for a message, the other conditions of {flow.contact_identity} up to "
            f"{reply[2]:,}; together they may take {STEPS_MOST:,}. Use fewer or simpler regular expressions ({_STEPS})",
        )
    raise InvalidFlow("ContactIdentity", f"{flow.contact_identity} has {ADDRESS_MOST} flows, which is the most")


_STEPS: Final = "contains() takes far fewer steps; docs/matching.md"


def _steps(flow: FlexFlow) -> int:
    """Return how long an enabled flow's condition takes, 0 for one that this version cannot compile."""
    try:
        return compile_expression(flow.match).steps if flow.match and flow.enabled else 0
    except ValueError:
        return 0


def _summary(flow: FlexFlow) -> str:
    """Write what the scripts need of the other flows of an address: steps, the channel of a default flow, enabled."""
    return f"{_steps(flow)} {flow.channel_type if flow.is_default else '-'} {int(flow.enabled)}"


def _delete(account: AccountKeys, write: FlowWrite, by: str, stored: bytes | None) -> tuple[Word, ...]:
    """Return the command that removes a flow, which a full store does too."""
    flow = write.flow
    return script(
        "delete_flow",
        [
            account.own_flows + flow.sid,
            account.addresses + flow.contact_identity,
            account.flows,
            account.named(flow.friendly_name),
            account.changes,
        ],
        [flow.sid, stored or format_record(flow), secrets.token_urlsafe(8), by, describe(flow, None), KEPT],
    )
