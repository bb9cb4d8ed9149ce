"""The way from one flow to another, contact by contact: the steps, what each means, and how far it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

from router.errors import RouterError
from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.flow.succession import STANDBY, has_succeeded
from router.match.values import bucket
from router.message.inbound import Message, Raw, conversation_id
from router.routing.contact import contact_id, identities_of
from router.store import Store
from router.store.flow_write import FlowWrite
from router.store.proxied import Progress

Phase: TypeAlias = Literal["none", "shadow", "share", "drain", "all"]

_DRAIN: Final = 100
# The shares for which a shadow counts contacts.
SHARES: Final = (1, 10, 25, 50, 100)
# Messages of the account that a shadow looks at, the newest ones.
SHADOW_MOST: Final = 100_000
# What happens to the next messages.
NEXT: Final[Mapping[Phase, str]] = {
    "none": "No contact moves: the flow names no other flow in MigrateTo",
    "shadow": "No contact moves. The sessions of Proxy are listed, so that it is known who may move",
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
# What one step back means.
BACK: Final[Mapping[Phase, str]] = {
    "none": "There is no step to go back",
    "shadow": "MigrateTo is taken out of the old flow",
    "share": "No further contact moves. Contacts that moved finish with the new flow",
    "drain": "No further contact moves. Contacts that moved finish with the new flow",
    "all": "The old flow is enabled again, and contacts move as in the drain",
}


@dataclass(frozen=True, slots=True)
class Way:
    """A flow, the one that takes over, and how far it is."""

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
    """The migrations of an account, and those that could begin: an old flow, and one that waits to take over."""

    ways: Sequence[Way]
    ready: Sequence[tuple[FlexFlow, FlexFlow]]
    more: bool
    """Whether the account has more flows than were looked at."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Where the contacts of past messages would go: how many there are, how many by share, and in sessions now."""

    messages: int
    contacts: int
    by_share: Mapping[int, int]
    in_session: int


def way(old: FlexFlow, store: Store) -> Way:
    """Say how far the migration of a flow is."""
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
    """Say why a flow cannot take over from another one; "" when it can, or has done so."""
    if has_succeeded(new, old):
        return ""
    if address_of(new) != address_of(old):
        return f"{new.sid} is for {' '.join(address_of(new))}: it has to be of the address of {old.sid}"
    if new.match != STANDBY or not new.enabled:
        return f'{new.sid} has to be enabled and to have match = "{STANDBY}": it takes messages by this way only'
    return ""


def start(old: FlexFlow, to: str, store: Store, *, by: str, now: int) -> Way:
    """Name the flow that takes over; no contact moves by that. Raises RouterError when it cannot take over."""
    new = store.flows.get(old.account_sid, to)
    if new is None:
        raise RouterError(f"there is no flow {to}; write it first, for the same address and with match = {STANDBY!r}")
    if reason := obstacle(old, new):
        raise RouterError(reason)
    store.proxied.forget(old.account_sid, old.sid)
    return _written(replace(old, migrate_to=to, migrate_percent=0, date_updated=now), old, store, by=by)


def share(old: FlexFlow, percent: int, store: Store, *, by: str, now: int) -> Way:
    """Let so many per cent of the contacts move: of the new and idle ones, or of all with 100."""
    if has_succeeded(_begun(old, store), old):
        raise RouterError(f"{old.sid} is disabled, as all contacts have moved: go one step back first")
    return _written(replace(old, migrate_percent=percent, date_updated=now), old, store, by=by)


def everything(old: FlexFlow, store: Store, *, by: str, now: int, force: bool = False) -> Way:
    """Let the new flow take all messages of the address, also those that wait for the old one, which is disabled.

    Raises RouterError, unless `force`, before the drain, and while contacts are, or may be, in a session; also if
    one's message goes to Proxy at this very moment.
    """
    new, is_now = _begun(old, store), way(old, store)
    if not force and (reason := _not_yet(is_now)):
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
    return _again(old, store)


def _not_yet(is_now: Way) -> str:
    """Say why the old flow cannot be disabled yet; "" when it can."""
    old, progress = is_now.old, is_now.progress
    if is_now.phase != "drain":
        return f"{old.sid} is not drained: let all contacts move first (`router migrate drain {old.sid}`)"
    if old.integration.type != "proxy":
        return ""
    split = "A contact in a session would have one agent in Proxy and another one in a Conversation"
    if progress.live is None:
        return f"it is not known who is in a session of Proxy. {split}. Wait for a list of the sessions, or use --force"
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
    is_now = way(old, store)
    if is_now.phase == "all" and is_now.new is not None:
        new = is_now.new
        store.flows.write(
            [
                [
                    FlowWrite(replace(new, match=STANDBY, date_updated=now), new),
                    FlowWrite(replace(old, enabled=True, date_updated=now), old),
                ]
            ],
            by=by,
        )
        return _again(old, store)
    if is_now.phase in {"share", "drain"}:
        return _written(replace(old, migrate_percent=0, date_updated=now), old, store, by=by)
    return _written(replace(old, migrate_to="", migrate_percent=0, date_updated=now), old, store, by=by)


def shadow(old: FlexFlow, store: Store, *, since: int, most: int = SHADOW_MOST) -> Shadow:
    """Say where the contacts of the flow's messages since then, in ms since 1970, would go; nothing is changed.

    The newest `most` messages of the account are looked at.
    """
    messages, places, busy = 0, dict[str, float](), 0
    for delivery in islice(store.deliveries.newest(old.account_sid, after=since), most):
        if delivery.flow_sid != old.sid or not delivery.raw:
            continue
        messages += 1
        message = Message.parse(Raw.unpack(delivery.raw).fields())
        lane = conversation_id(message.account_sid, message.channel, message.to, message.from_)
        if lane not in places:
            places[lane] = bucket(message)
            ids = [contact_id(each) for each in identities_of(message)]
            busy += not store.proxied.may_move(old.account_sid, ids, lane)
    return Shadow(messages, len(places), shares_of(list(places.values())), busy)


def shares_of(places: Sequence[float]) -> dict[int, int]:
    """Count contacts by the shares that they are among; `places` are their percentiles."""
    return {percent: sum(place < percent for place in places) for percent in SHARES}


def _begun(old: FlexFlow, store: Store) -> FlexFlow:
    new = store.flows.get(old.account_sid, old.migrate_to) if old.migrate_to else None
    if new is None:
        raise RouterError(f"{old.sid} has no MigrateTo: begin with `router migrate start {old.sid} --to FO…`")
    return new


def _written(after: FlexFlow, before: FlexFlow, store: Store, *, by: str) -> Way:
    store.flows.put(after, replaces=before, by=by)
    return way(after, store)


def _again(old: FlexFlow, store: Store) -> Way:
    return way(store.flows.get(old.account_sid, old.sid) or old, store)
