"""The actions of an operator on a waiting message: send it now, hold it, release it, cancel it.

Each function returns a `Done`, whose sentence is the same in REST, commands and console. `replay` in
`router.queries.replay` sends a finished message again. `by` names the actor in the change log; it is stored and
shown with the message.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from router.store import Store
from router.store.deliveries import CANCELLED, Delivery

_BUSY: Final = "it is being sent, and an attempt cannot be stopped. It ends within 22 s: try again then"
_GONE: Final = "its record has expired"


class Action(Protocol):
    """One of `ACTIONS`."""

    def __call__(self, delivery: Delivery, store: Store, *, by: str) -> "Done":
        """Carry it out."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action.

    Args:
        done: whether the message now has the state that the action sets.
        outcome: a sentence with its new state, or the reason why it has not changed; `it` is the message.
        gone: whether the record of the message no longer exists.
        changed: whether the action changed the message; False if it already had this state.
    """

    done: bool
    outcome: str
    gone: bool = False
    changed: bool = False


def hurry(delivery: Delivery, store: Store, *, by: str) -> Done:
    """Send a message's conversation now instead of at its next retry; earlier messages are sent first."""
    if delivery.held:
        return Done(False, "it is held; release it instead")
    if delivery.state != "queued":
        return Done(True, "it is being sent") if delivery.state == "sending" else _changed(delivery, store)
    waiting = store.deliveries.waiting(delivery)
    flow = store.flows.get(delivery.account_sid, waiting.head_flow_sid) if waiting else None
    if flow is not None and flow.paused:
        return Done(False, f"{flow.sid} is paused, so none of its messages is sent until it is resumed")
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
        place = f"after {before} that arrived later" if before else "and no other message waits there"
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
"""The names of these actions in a message's record and in the change log."""


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
    """Record in the change log what was done to messages (AccountSid and MessageSid), in one line for each account.

    Args:
        store: the store.
        messages: the messages.
        what: one of `DONE_AS`, or `replayed`.
        by: the actor.
        more: further values of the line.
    """
    own: dict[str, list[str]] = {}
    for account_sid, message_sid in messages:
        own.setdefault(account_sid, []).append(message_sid)
    for account_sid, sids in own.items():
        which: dict[str, str | int] = {"message": sids[0]} if len(sids) == 1 else {"messages": len(sids)}
        store.changes.note(account_sid, by, what, **which, **more)
