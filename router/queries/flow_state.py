"""The actions of an operator on a Flex Flow: pause, resume, enable, disable, remove."""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from router.flow.flex_flow import FlexFlow
from router.store import Store

Switch: TypeAlias = Literal["pause", "resume", "enable", "disable"]
SWITCHES: Final[tuple[Switch, ...]] = ("pause", "resume", "enable", "disable")


@dataclass(frozen=True, slots=True)
class Switched:
    """A flow after a switch.

    Args:
        flow: the current flow, or the flow as it was when it was removed.
        changed: whether the switch changed the flow.
        meaning: the consequences for its messages, in sentences; without the last full stop.
        left: whether the flow still exists.
    """

    flow: FlexFlow
    changed: bool
    meaning: str
    left: bool = True


def switched(flow: FlexFlow, which: Switch, now: int) -> FlexFlow:
    """Return the flow as it is after a switch; `now` is in Unix seconds."""
    paused = {"pause": True, "resume": False}.get(which, flow.paused)
    enabled = {"enable": True, "disable": False}.get(which, flow.enabled)
    if (paused, enabled) == (flow.paused, flow.enabled):
        return flow
    return replace(flow, paused=paused, enabled=enabled, date_updated=now)


def switch(flow: FlexFlow, which: Switch, store: Store, *, by: str, now: int) -> Switched | None:
    """Pause, resume, enable or disable a flow that was read before; None if it has been removed since.

    Raises:
        FlowConflict: it is enabled, and another enabled flow without language and match has its address.
        FlowChanged: it was changed by others during every attempt.
    """
    after = store.flows.update(flow.account_sid, flow.sid, lambda current: switched(current, which, now), by=by)
    if after is None:
        return None
    waiting = store.deliveries.waiting_conversations(flow.account_sid, flow.sid)
    changed = (after.paused, after.enabled) != (flow.paused, flow.enabled)
    return Switched(after, changed, f"It is {which.removesuffix('e')}ed. {_meaning(after, waiting)}")


def remove(flow: FlexFlow, store: Store, *, by: str) -> Switched | None:
    """Remove a flow that was read before; None if it has been removed since."""
    waiting = store.deliveries.waiting_conversations(flow.account_sid, flow.sid)
    removed = store.flows.remove(flow.account_sid, flow.sid, by=by)
    return Switched(removed, changed=True, meaning=f"It is removed. {_lost(waiting)}", left=False) if removed else None


def losing(flow: FlexFlow, store: Store) -> str:
    """Return what happens to the messages that wait for a flow if it is removed now; without the full stop."""
    return _lost(store.deliveries.waiting_conversations(flow.account_sid, flow.sid))


def _meaning(flow: FlexFlow, waiting: int) -> str:
    if not flow.enabled:
        return f"A disabled flow takes no messages. {_lost(waiting)}"
    if flow.paused:
        return f"While it is paused, its messages are accepted and wait, in order. {_wait(waiting)} now"
    if waiting:
        return f"{_wait(waiting)}, and their messages are sent in order from now on"
    return "Its messages are sent from now on"


def _lost(waiting: int) -> str:
    if not waiting:
        return "No message waits for it"
    return (
        f"{_wait(waiting)}: their messages become unrouted when they are due, and can be replayed to another flow with "
        "Route=current"
    )


def _wait(conversations: int) -> str:
    return f"{conversations:,} conversation{'s wait' if conversations != 1 else ' waits'} for it"
