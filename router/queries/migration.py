"""Migration from one flow to another, contact by contact: its phases, what each means, and its progress."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

from router.errors import RouterError
from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.flow.succession import STANDBY, has_succeeded
from router.match.values import bucket
from router.message.inbound import Message, conversation_id
from router.routing.contact import contact_id, identities_of
from router.store import Store
from router.store.flow_write import FlowWrite
from router.store.proxied import Progress

Phase: TypeAlias = Literal["none", "shadow", "share", "drain", "all"]

_DRAIN: Final = 100
# The percentages for which `shadow` counts contacts.
SHARES: Final = (1, 10, 25, 50, 100)
# The maximum number of the account's newest messages that `shadow` reads.
SHADOW_MOST: Final = 100_000
# For each phase, what happens to the next messages.
NEXT: Final[Mapping[Phase, str]] = {
    "none": "No contact moves: the flow names no other flow in MigrateTo",
    "shadow": "No contact moves. The sessions of Proxy are listed, to find out which contacts may move",
    "share": (
        "New contacts among the share, and those that have been idle, move with their next message. All others stay "
        "with the old flow"
    ),
    "drain": "Every contact moves with its next message, unless it is, or may be, in a session of Proxy",
    "all": (
        "The old flow is disabled and kept. The new flow takes every message of the address, also those that waited "
        "for the old one"
    ),
}
# For each phase, the effect of one step back.
BACK: Final[Mapping[Phase, str]] = {
    "none": "There is no step to go back",
    "shadow": "MigrateTo is removed from the old flow",
    "share": "No further contact moves. Contacts that moved finish with the new flow",
    "drain": "No further contact moves. Contacts that moved finish with the new flow",
    "all": "The old flow is enabled again, and contacts move as in the drain",
}


@dataclass(frozen=True, slots=True)
class Way:
    """A migration: the old flow, the new flow, and the progress."""

    old: FlexFlow
    new: FlexFlow | None
    phase: Phase
    progress: Progress
    waiting: int
    """Conversations with messages that wait for the old flow."""

    def describe(self) -> dict[str, Any]:
        """Return it for JSON."""
        progress = self.progress
        return {
            "flex_flow_sid": self.old.sid,
            "migrate_to": self.old.migrate_to or None,
            "migrate_percent": self.old.migrate_percent,
            "phase": self.phase,
            "contacts_moved": progress.moved,
            "stayed_in_a_session": progress.session,
            "stayed_as_sessions_were_unknown": progress.unknown,
            "messages_to_the_old_flow": progress.from_,
            "messages_to_the_new_flow": progress.to,
            "contacts_in_live_sessions": progress.live,
            "conversations_waiting": self.waiting,
            "next": NEXT[self.phase],
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """The migrations of an account, and those that could begin: pairs of an old and a new flow."""

    ways: Sequence[Way]
    ready: Sequence[tuple[FlexFlow, FlexFlow]]
    more: bool
    """Whether the account has more flows than were read."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """The contacts of past messages: their number, how many would move at each share, and how many are in sessions."""

    messages: int
    contacts: int
    by_share: Mapping[int, int]
    in_session: int


def way(old: FlexFlow, store: Store) -> Way:
    """Return the state of the migration of a flow."""
    new = store.flows.get(old.account_sid, old.migrate_to) if old.migrate_to else None
    progress = store.proxied.progress(old.account_sid, old.sid)
    waiting = store.deliveries.waiting_conversations(old.account_sid, old.sid)
    return Way(old, new, _phase(old, new), progress, waiting)


def overview(account_sid: str, store: Store, *, most: int) -> Overview:
    """Return the migrations of an account, among its oldest `most` flows."""
    flows = {each.sid: each for each in islice(store.flows.walk(account_sid), most)}
    olds = [each for each in flows.values() if each.migrate_to]
    named = {each.migrate_to for each in olds}
    free = {address_of(each): each for each in flows.values() if each.is_default and each.enabled}
    ready = [
        (old, new)
        for new in flows.values()
        if new.enabled and new.match == STANDBY and new.sid not in named
        if (old := free.get(address_of(new))) and not old.migrate_to
    ]
    return Overview([way(each, store) for each in olds], ready, len(flows) >= most)


def _phase(old: FlexFlow, new: FlexFlow | None) -> Phase:
    if new is None:
        return "none"
    if has_succeeded(new, old):
        return "all"
    if not old.migrate_percent:
        return "shadow"
    return "drain" if old.migrate_percent == _DRAIN else "share"


def obstacle(old: FlexFlow, new: FlexFlow) -> str:
    """Return why a flow cannot take over from another one; "" if it can, or already has."""
    if has_succeeded(new, old):
        return ""
    if address_of(new) != address_of(old):
        return f"{new.sid} is for {' '.join(address_of(new))}: it must have the address of {old.sid}"
    if new.match != STANDBY or not new.enabled:
        return f'{new.sid} must be enabled and have match = "{STANDBY}", so that only contacts that move reach it'
    return ""


def start(old: FlexFlow, to: str, store: Store, *, by: str, now: int) -> Way:
    """Name the flow that takes over; no contact moves yet. Raises RouterError if it cannot take over."""
    new = store.flows.get(old.account_sid, to)
    if new is None:
        raise RouterError(f"there is no flow {to}; write it first, for the same address and with match = {STANDBY!r}")
    if reason := obstacle(old, new):
        raise RouterError(reason)
    store.proxied.forget(old.account_sid, old.sid)
    return _written(replace(old, migrate_to=to, migrate_percent=0, date_updated=now), old, store, by=by)


def share(old: FlexFlow, percent: int, store: Store, *, by: str, now: int) -> Way:
    """Let a percentage of the new and idle contacts move; with 100, all contacts."""
    if has_succeeded(_begun(old, store), old):
        raise RouterError(f"{old.sid} is disabled, as all contacts have moved: go one step back first")
    return _written(replace(old, migrate_percent=percent, date_updated=now), old, store, by=by)


def everything(old: FlexFlow, store: Store, *, by: str, now: int, force: bool = False) -> Way:
    """Let the new flow take all messages of the address, also those that wait for the old one, which is disabled.

    Unless `force`, raises RouterError before the drain, while contacts are or may be in a session, and while a message
    is being sent to Proxy.
    """
    new, current = _begun(old, store), way(old, store)
    if not force and (reason := _not_yet(current)):
        raise RouterError(reason)
    store.flows.write(
        [
            [
                FlowWrite(replace(old, enabled=False, date_updated=now), old, idle=not force),
                FlowWrite(replace(new, match="", date_updated=now), new),
            ]
        ],
        by=by,
    )
    return _reread(old, store)


def _not_yet(current: Way) -> str:
    """Return why the old flow cannot be disabled yet; "" if it can."""
    old, progress = current.old, current.progress
    if current.phase != "drain":
        return f"{old.sid} is not drained: let all contacts move first (`router migrate drain {old.sid}`)"
    if old.integration.type != "proxy":
        return ""
    split = "A contact in a session would have one agent in Proxy and another one in a Conversation"
    if progress.live is None:
        return f"the sessions of Proxy are not known yet. {split}. Wait until they are listed, or use --force"
    if progress.live:
        return f"{progress.live:,} addresses are in a session of Proxy. {split}. Wait until they end, or use --force"
    if progress.settling:
        return (
            f"a message went to Proxy less than 5 minutes ago, and its session may not be listed yet. {split}. "
            f"Wait {progress.settling} s, or use --force"
        )
    return ""


def back(old: FlexFlow, store: Store, *, by: str, now: int) -> Way:
    """Go one step back; contacts that moved finish where they are."""
    current = way(old, store)
    if current.phase == "all" and current.new is not None:
        new = current.new
        store.flows.write(
            [
                [
                    FlowWrite(replace(new, match=STANDBY, date_updated=now), new),
                    FlowWrite(replace(old, enabled=True, date_updated=now), old),
                ]
            ],
            by=by,
        )
        return _reread(old, store)
    if current.phase in {"share", "drain"}:
        return _written(replace(old, migrate_percent=0, date_updated=now), old, store, by=by)
    return _written(replace(old, migrate_to="", migrate_percent=0, date_updated=now), old, store, by=by)


def shadow(old: FlexFlow, store: Store, *, since: int, most: int = SHADOW_MOST) -> Shadow:
    """Count where the contacts of the flow's messages since then (ms since 1970) would go; nothing is changed.

    At most the newest `most` messages of the account are read.
    """
    messages, places, busy = 0, dict[str, float](), 0
    for delivery in islice(store.deliveries.newest(old.account_sid, after=since), most):
        if delivery.flow_sid != old.sid or not delivery.raw:
            continue
        messages += 1
        message = Message.unpack(delivery.raw)
        lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
        if lane not in places:
            places[lane] = bucket(message)
            ids = [contact_id(each) for each in identities_of(message)]
            busy += not store.proxied.may_move(old.account_sid, ids, lane)
    return Shadow(messages, len(places), shares_of(list(places.values())), busy)


def shares_of(places: Sequence[float]) -> dict[int, int]:
    """Return for each share how many contacts it has; `places` are their hashes, from 0 to 100."""
    return {percent: sum(place < percent for place in places) for percent in SHARES}


def _begun(old: FlexFlow, store: Store) -> FlexFlow:
    new = store.flows.get(old.account_sid, old.migrate_to) if old.migrate_to else None
    if new is None:
        raise RouterError(f"{old.sid} has no MigrateTo: begin with `router migrate start {old.sid} --to FO…`")
    return new


def _written(after: FlexFlow, before: FlexFlow, store: Store, *, by: str) -> Way:
    store.flows.put(after, replaces=before, by=by)
    return way(after, store)


def _reread(old: FlexFlow, store: Store) -> Way:
    return way(store.flows.get(old.account_sid, old.sid) or old, store)
