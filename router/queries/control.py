"""What an operator does to a message on its way: send it now, hold it, release it, cancel it.

Each function returns a `Done`, whose sentence is the same in REST, commands and console. `router.queries.deliveries`
has `replay`, which sends a message again that is done. `by` is who does it, as the change log names them: it is kept
with the message, and shown with it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from router.queries.deliveries import DEAD, Wanted
from router.store import Store
from router.store.deliveries import Delivery

CANCELLED: Final = "cancelled"
"""The `error` of a message that an operator cancelled."""
REPLAY_DOES_NOT_ANSWER: Final = (
    "A replay does not answer the customer: TwiML that the target returns is not sent. A target that sends by itself, "
    "as a Studio flow does, does so again"
)
_BUSY: Final = "it is being sent, and an attempt cannot be stopped. It ends within 22 s: try again then"
_GONE: Final = "its record has expired"


class Action(Protocol):
    """One of `ACTIONS`."""

    def __call__(self, delivery: Delivery, store: Store, *, by: str) -> "Done":
        """Do it."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an operator's wish.

    Args:
        done: whether the message is now as wished.
        outcome: what it is now, or why it is not as wished: a sentence without its subject, the message.
        gone: whether there is no record of the message any more.
        changed: whether this changed the message; False where it was as wished before.
    """

    done: bool
    outcome: str
    gone: bool = False
    changed: bool = False


def hurry(delivery: Delivery, store: Store, *, by: str) -> Done:
    """Let a message's conversation be sent now, not at its next retry; its earlier messages go first."""
    if delivery.held:
        return Done(False, "it is held; release it instead")
    if delivery.state != "queued":
        return Done(True, "it is being sent") if delivery.state == "sending" else _changed(delivery, store)
    waiting = store.deliveries.waiting(delivery)
    flow = store.flows.get(delivery.account_sid, waiting.head_flow_sid) if waiting else None
    if flow is not None and flow.paused:
        return Done(False, f"{flow.sid} is paused, so nothing of it is sent until it is resumed")
    _, head = store.lanes.hurry(delivery.account_sid, delivery.message_sid, delivery.lane, by=by)
    first = "" if head == delivery.message_sid else f", after {head}, which is before it in its conversation"
    outcome = f"it is sent now{first}; if the target is down, with the next probe, within some 5 s"
    return Done(True, outcome, changed=True)


def hold(delivery: Delivery, store: Store, *, by: str) -> Done:
    """Keep a queued message from being sent until it is released; its conversation goes on without it."""
    if delivery.held:
        return Done(True, "it is held already")
    kind = store.lanes.hold(delivery.account_sid, delivery.message_sid, delivery.lane, by=by)
    if kind == "held":
        return Done(True, "it is held until you release it; its conversation goes on without it", changed=True)
    return _refused(kind, delivery, store)


def release(delivery: Delivery, store: Store, *, by: str) -> Done:
    """Put a held message at the end of its conversation."""
    kind, before = store.lanes.release(delivery.account_sid, delivery.message_sid, delivery.lane, by=by)
    if kind == "released":
        place = f"behind {before} that came later" if before else "and no other message waits there"
        return Done(True, f"it is released: it is now the last message of its conversation, {place}", changed=True)
    if kind == "missing":
        return Done(False, _GONE, gone=True)
    return Done(False, f"it is not held, but {_state(delivery, store)}")


def cancel(delivery: Delivery, store: Store, *, by: str) -> Done:
    """Give up a message that is queued or held; its conversation goes on."""
    kind = store.lanes.cancel(delivery.account_sid, delivery.message_sid, delivery.lane, CANCELLED, by=by)
    if kind == "cancelled":
        return Done(True, "it is cancelled: its status is now undelivered, and its conversation goes on", changed=True)
    return _refused(kind, delivery, store)


ACTIONS: Final[Mapping[str, Action]] = {"hurry": hurry, "hold": hold, "release": release, "cancel": cancel}
DONE_AS: Final = {"hurry": "hurried", "hold": "held", "release": "released", "cancel": "cancelled"}
"""What a message's record and the change log say of each of these actions."""


def _refused(kind: str, delivery: Delivery, store: Store) -> Done:
    if kind == "missing":
        return Done(False, _GONE, gone=True)
    return Done(False, _BUSY) if kind == "busy" else _changed(delivery, store)


def _changed(delivery: Delivery, store: Store) -> Done:
    """Return the answer for a message that does not wait, or no longer."""
    return Done(False, f"it is {_state(delivery, store)}, so it no longer waits")


def _state(delivery: Delivery, store: Store) -> str:
    return store.deliveries.state(delivery.account_sid, delivery.message_sid) or "gone"


def note(store: Store, messages: Collection[tuple[str, str]], what: str, *, by: str, **more: str) -> None:
    """Write into the change log what was done to messages, each an AccountSid and a MessageSid: a line per account.

    Args:
        store: the store.
        messages: those to which it was done.
        what: one of `DONE_AS`, or `replayed`.
        by: who did it.
        more: further values of the line.
    """
    own: dict[str, list[str]] = {}
    for account_sid, message_sid in messages:
        own.setdefault(account_sid, []).append(message_sid)
    for account_sid, sids in own.items():
        which: dict[str, str | int] = {"message": sids[0]} if len(sids) == 1 else {"messages": len(sids)}
        store.changes.note(account_sid, by, what, **which, **more)


@dataclass(frozen=True, slots=True)
class Found:
    """A message that a filter chose, without what it says: there may be very many."""

    accepted_at: int
    account_sid: str
    message_sid: str
    state: str


def find(  # noqa: PLR0913 - which messages, of whom, since when, and how it is shown
    account_sids: Iterable[str],
    wanted: Wanted,
    states: Collection[str],
    store: Store,
    *,
    since: int,
    watch: Callable[[Iterable[Delivery]], Iterable[Delivery]] = iter,
) -> list[Found]:
    """Return the messages of some accounts that a filter takes, the oldest first: the order to replay them in.

    What an operator cancelled is left out, so that a replay of what is undelivered does not undo that.

    Args:
        account_sids: the accounts.
        wanted: the filter.
        states: the states that are meant, unless the filter names one.
        store: the store.
        since: the time of acceptance, in ms since 1970, from which on they count.
        watch: wraps the iteration over the messages, to show the progress.
    """
    states = {wanted.status} if wanted.status else set(states)
    found = []
    for account_sid in account_sids:
        dead = states <= DEAD  # they are few, and have an index of their own
        walk = store.deliveries.oldest if dead else store.deliveries.newest
        theirs = [
            Found(each.accepted_at, each.account_sid, each.message_sid, each.state)
            for each in watch(walk(account_sid, after=since))
            if each.accepted_at >= since and each.state in states and each.error != CANCELLED and wanted.takes(each)
        ]
        found += theirs if dead else theirs[::-1]
    return sorted(found, key=lambda each: each.accepted_at)
