"""Migration from one flow to another, contact by contact: its phases, what each means, and its progress.

`router.queries.migration_steps` goes from phase to phase; `router.queries.hand_over` is the last step, at Twilio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.flow.succession import STANDBY, has_succeeded
from router.store import Store
from router.store.proxied import Progress

Phase: TypeAlias = Literal["none", "shadow", "share", "drain", "all"]

_DRAIN: Final = 100
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
