"""Compares versions of flows, and computes the changes that are needed to apply a flow file."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from router.flow.file import ALWAYS, FileFlow, InvalidFlowFile, address_of, taken_by
from router.flow.flex_flow import FIELDS, FlexFlow, is_given

_HIDDEN: Final = "•••"
_GETTERS: Final = tuple((each, attrgetter(each.attribute)) for each in FIELDS)


class Difference(NamedTuple):
    """One difference: the key in a flow file, and the values before and after, which are hidden for a secret."""

    key: str
    before: Any
    after: Any
    secret: bool = False


def differences(before: FlexFlow | None, after: FlexFlow | None) -> Iterator[Difference]:
    """Yield the differences; for an added or removed flow, its values that are not the default."""
    only = None if before and after else before or after
    for each, get in _GETTERS:
        was, is_ = get(before) if before else None, get(after) if after else None
        if was != is_ and (only is None or each.wire in ALWAYS or is_given(only, each)):
            yield (
                Difference(each.key, _HIDDEN, _HIDDEN, secret=True)
                if each.write_only
                else Difference(each.key, was, is_)
            )
    own, new = (dict(flow.extra) if flow else {} for flow in (before, after))
    for key in sorted(own.keys() | new.keys()):
        if own.get(key) != new.get(key):
            yield Difference(f"address.{key}", own.get(key), new.get(key))


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one flow: `before` is None for a flow to add, `after` is None for a flow to remove."""

    before: FlexFlow | None
    after: FlexFlow | None

    @property
    def kind(self) -> Literal["add", "change", "remove"]:
        """The kind of change."""
        if self.before is None:
            return "add"
        return "change" if self.after else "remove"

    @property
    def flow(self) -> FlexFlow:
        """The flow after the change, or before it if it is to be removed."""
        flow = self.after or self.before
        assert flow is not None  # noqa: S101 - a change has one of them
        return flow

    def differences(self) -> list[Difference]:
        """List the differences."""
        return list(differences(self.before, self.after))


def change(before: FlexFlow | None, after: FlexFlow) -> Change | None:
    """Return the change from one flow to another; None if only its date would change."""
    if before is not None and replace(before, date_updated=after.date_updated) == after:
        return None
    return Change(before, after)


def applied(current: Iterable[FlexFlow], changes: Iterable[Change]) -> list[FlexFlow]:
    """Return the flows after the changes."""
    flows = {flow.sid: flow for flow in current}
    for each in changes:
        if each.before:
            flows.pop(each.before.sid, None)
        if each.after:
            flows[each.after.sid] = each.after
    return list(flows.values())


def diff(current: Iterable[FlexFlow], wanted: Sequence[FileFlow], *, prune: bool = False) -> tuple[Change, ...]:
    """Compare the flows of an account with those of a file.

    An entry of the file with a `sid` is that flow. Without a `sid` it is the flow of its address with the same friendly
    name, language and match, or else with one of these: so the same file can be applied repeatedly, and a flow can be
    renamed. Removals are first, then flows that leave an address or are disabled, so that changes made in this order do
    not conflict.

    Args:
        current: all flows of the account.
        wanted: the file's flows, from `router.flow.file.load`.
        prune: whether flows that are not in the file are removed.

    Raises:
        InvalidFlowFile: a flow of the file would share an address with a flow that is not changed.
    """
    left = {flow.sid: flow for flow in current}
    pairs = _pair(left, wanted)
    changes = []
    for each in wanted:
        before = pairs.get(each.entry)
        if found := change(before, _merged(before, each) if before else each.flow):
            changes.append(found)
    if prune:
        changes += [Change(flow, None) for flow in left.values()]
    else:
        _refuse_shared(left.values(), wanted)
    return in_order(changes)


def in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Sort changes to avoid conflicts: removals, then flows that leave an address or are disabled, then others."""
    return tuple(sorted(changes, key=_order))


def in_groups(changes: Sequence[Change]) -> list[list[Change]]:
    """Group the changes that must be made at once, each group in the order of the changes.

    These are the changes of one address, and of addresses between which a flow moves: otherwise a message could be
    routed by a part of them only.
    """
    roots: dict[str, str] = {}

    def root(identity: str) -> str:
        while (above := roots.setdefault(identity, identity)) != identity:
            roots[identity] = roots[above]
            identity = above
        return identity

    for change in changes:
        if change.before:
            roots[root(change.before.contact_identity)] = root(change.flow.contact_identity)
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(root(change.flow.contact_identity), []).append(change)
    return list(groups.values())


def _pair(left: dict[str, FlexFlow], wanted: Sequence[FileFlow]) -> dict[int, FlexFlow]:
    """Find the current flow of each entry, the most reliable criterion first; remove these flows from `left`."""
    pairs: dict[int, FlexFlow] = {}
    for each in wanted:
        if "sid" in each.given and each.flow.sid in left:
            pairs[each.entry] = left.pop(each.flow.sid)
    for likeness in (_exactly, _named, _alike):
        found: dict[Hashable, list[FlexFlow]] = {}
        for flow in left.values():
            found.setdefault(likeness(flow), []).append(flow)
        for each in wanted:
            if each.entry not in pairs and "sid" not in each.given and (same := found.get(likeness(each.flow))):
                pairs[each.entry] = left.pop(same.pop(0).sid)
    return pairs


def _exactly(flow: FlexFlow) -> Hashable:
    return _named(flow), _alike(flow)


def _named(flow: FlexFlow) -> Hashable:
    return *_place(flow), flow.friendly_name


def _alike(flow: FlexFlow) -> Hashable:
    return *_place(flow), flow.language, flow.match


def _place(flow: FlexFlow) -> tuple[str, ...]:
    """Return a flow's address; for a web flow with its own address, which a file need not name, the flow's name."""
    return (flow.channel_type, "", flow.friendly_name) if flow.has_own_address else address_of(flow)


def _merged(before: FlexFlow, wanted: FileFlow) -> FlexFlow:
    """Return the wanted flow as a change of `before`, with the values of `before` that a file may leave out."""
    integration = wanted.flow.integration
    if "integration.signing_key" not in wanted.given and integration.type == before.integration.type:
        integration = replace(integration, signing_key=before.integration.signing_key)
    web_chat = wanted.flow.web_chat
    if "web_chat.identity_secret" not in wanted.given:
        web_chat = replace(web_chat, identity_secret=before.web_chat.identity_secret)
    return replace(
        wanted.flow,
        sid=before.sid,
        contact_identity=before.contact_identity if wanted.flow.has_own_address else wanted.flow.contact_identity,
        date_created=before.date_created,
        extra=before.extra,
        integration=integration,
        web_chat=web_chat,
    )


def _refuse_shared(staying: Iterable[FlexFlow], wanted: Sequence[FileFlow]) -> None:
    owners = {address_of(flow): flow for flow in staying if flow.enabled and flow.is_default}
    problems = [
        each.problem("contact_identity", taken_by(each.flow, f"{owner.sid} {owner.friendly_name!r}"))
        for each in wanted
        if each.flow.enabled and each.flow.is_default and (owner := owners.get(address_of(each.flow)))
    ]
    if problems:
        raise InvalidFlowFile(problems)


def _order(change: Change) -> int:
    before, after = change.before, change.after
    if after is None:
        return 0
    if before is None:
        return 3
    leaves = not (after.enabled and after.is_default) or address_of(before) != address_of(after)
    return 1 if leaves else 2
