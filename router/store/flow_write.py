"""Writes flows: one script call for one flow, or for several that must change together."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.errors import FlowConflict, InvalidFlow, RouterError
from router.flow.flex_flow import FlexFlow
from router.flow.record import from_record, to_record
from router.match import compile_expression
from router.store.changes import KEPT, describe
from router.store.keys import AccountKeys
from router.store.script import Word, script

# The maximum number of flows of an address. Routing a message reads all of them, and so does the check of a write.
ADDRESS_MOST: Final = 500
# The maximum number of steps (router.match.Expression) of all conditions of an address: 50 ms at worst for each
# message, during which the process yields every 5 ms. It allows 500 conditions that search for a word with contains(),
# 300 that use a regular expression for it, or 47 whose regular expressions have five words.
STEPS_MOST: Final = 50_000
# Letters of a code of ISO 639-1 or 639-3. Any name of five to eight letters may be a language, too: RFC 5646, 2.2.1.
_CODE: Final = 3


class FlowChanged(RouterError):  # noqa: N818 - named for what happened
    """The flow was changed concurrently, between this caller's read and its write: read it again and retry."""


class FlowBusy(RouterError):  # noqa: N818 - named for what happened
    """A message of the flow went to Proxy a short time ago."""


def parse_record(record: bytes, account_sid: str, sid: str) -> FlexFlow | None:
    """Parse a stored flow; None for the empty record of a deleted flow."""
    if not record:
        return None
    target, _, _, text = record.decode().split(" ", 3)
    return from_record(text, account_sid, sid, target)


def format_record(flow: FlexFlow) -> str:
    """Return a flow in the scripts' format: target (`none` if disabled), paused, validity in seconds, JSON."""
    target = flow.target if flow.enabled else "none"
    return f"{target} {int(flow.is_held)} {flow.validity_period} {to_record(flow, target)}"


@dataclass(frozen=True, slots=True)
class FlowWrite:
    """A write of one flow: the version that the caller read (`before`, None to create) and the new one (`after`).

    `after` is None to remove the flow. `only_default`: whether a disabled flow without language and match on the same
    address is a conflict, too. `idle`: refuse it while a message may have begun a session of Proxy (`FlowBusy`).
    """

    after: FlexFlow | None
    before: FlexFlow | None = None
    only_default: bool = False
    idle: bool = False

    @property
    def flow(self) -> FlexFlow:
        """The new version of the flow, or the old one if it is to be removed."""
        flow = self.after or self.before
        assert flow is not None  # noqa: S101 - a write has one of them
        return flow

    @property
    def rule(self) -> str:
        """The script's code for the kinds of other default flows that are a conflict."""
        if self.after is None or not self.after.is_default:
            return ""
        return "any" if self.only_default else "enabled" if self.after.enabled else ""


def command(writes: Sequence[FlowWrite], by: str, stored: Mapping[int, bytes]) -> tuple[Word, ...]:
    """Return the command that applies the writes of one account atomically.

    Args:
        writes: at most one write for each flow.
        by: the user, for the change log.
        stored: by the index of a write, the stored bytes to replace, if an older version wrote them differently.
    """
    account = AccountKeys(writes[0].flow.account_sid)
    if len(writes) == 1 and writes[0].after is None:
        return _delete(account, writes[0], by, stored.get(0))
    keys: list[Word] = [account.flows, account.changes, account.languages]
    # A language has one model for all regions and scripts; only ISO 639 codes of two or three letters have one.
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
            account.proxying + flow.sid,
        )
        args += (
            flow.sid,
            format_record(write.after) if write.after else "",
            stored.get(place) or (format_record(write.before) if write.before else ""),
            flow.channel_type,
            write.rule,
            _summary(write.after) if write.after else "",
            describe(write.before, write.after),
            int(write.idle),
        )
    return script("put_flows", keys, args)


def check(writes: Sequence[FlowWrite], reply: list[Any]) -> None:
    """Raise the error in the script's reply, if any.

    Raises:
        FlowConflict: another enabled flow without language and match has the address.
        FlowChanged: a stored flow has changed since the caller read it.
        FlowBusy: a message of a flow that must be idle went to Proxy.
        InvalidFlow: the address has too many flows.
    """
    if reply[0] == b"ok":
        return
    flow = writes[reply[1] - 1].flow
    if reply[0] == b"changed":
        raise FlowChanged(f"{flow.sid} was changed or removed since it was read; read it again, and repeat the change")
    if reply[0] == b"busy":
        raise FlowBusy(
            f"a message of {flow.sid} went to Proxy just now, and its session may not be listed yet: wait 5 minutes"
        )
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
    """Return the steps of an enabled flow's condition, 0 if this version cannot compile it."""
    try:
        return compile_expression(flow.match).steps if flow.match and flow.enabled else 0
    except ValueError:
        return 0


def _summary(flow: FlexFlow) -> str:
    """Return a flow's field in its address entry: steps, channel of a default flow, enabled."""
    return f"{_steps(flow)} {flow.channel_type if flow.is_default else '-'} {int(flow.enabled)}"


def _delete(account: AccountKeys, write: FlowWrite, by: str, stored: bytes | None) -> tuple[Word, ...]:
    """Return the command that removes a flow, which also works when the store is full."""
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
