"""Why a message waits, and which targets do not answer."""

import math
from collections import Counter

from router.queries.delivery_json import action_of
from router.store import Store
from router.store.deliveries import Delivery


def waiting_for(delivery: Delivery, store: Store) -> list[str]:
    """Return the reasons why a message waits, each as a phrase, the first obstacle first.

    Empty if it does not wait.
    """
    if delivery.held:
        return [_held(delivery)]
    waiting = store.deliveries.waiting(delivery)
    if waiting is None:
        return []
    reasons = []
    if waiting.head != delivery.message_sid:
        reasons.append(f"{waiting.head} is before it in its conversation and is {waiting.head_state or 'gone'}")
    flow_sids = dict.fromkeys((waiting.head_flow_sid, delivery.flow_sid))
    paused = [sid for sid in flow_sids if sid and (flow := store.flows.get(delivery.account_sid, sid)) and flow.is_held]
    reasons += [f"{sid} is paused, so its messages wait" for sid in paused]
    if paused:
        return reasons
    flow = store.flows.get(delivery.account_sid, waiting.head_flow_sid) if waiting.head_flow_sid else None
    target = flow.target if flow else ""
    if (wrong := shut(delivery.account_sid, store).get(target)) is not None:
        reasons.append(f"its target {target} does not answer{wrong}; every 5 s one message is tried there")
    elif waiting.head == delivery.message_sid:
        seconds = math.ceil(waiting.due_in / 1000)
        reasons.append(f"the next attempt, in {seconds} s" if seconds else "a process with a free slot for its target")
    return reasons


def _held(delivery: Delivery) -> str:
    holds = [each for each in map(action_of, delivery.actions) if each["action"] == "held"]
    who = f" by {holds[-1]['by']} since {holds[-1]['date_created']}" if holds else ""
    return f"its release: it is held{who}, and its conversation goes on without it"


def shut(account_sid: str, store: Store) -> dict[str, str]:
    """Return the targets of an account that do not answer, each with a phrase: how many processes report it.

    A process that serves the account reports it within about a second; a report is valid for 20 s.
    """
    processes = store.processes.serving(account_sid)
    found = Counter(target for each in processes for target in each.shuts(account_sid))
    several = len(processes) > 1
    return {
        target: f" (seen by {number} of {len(processes)} processes)" if several else ""
        for target, number in sorted(found.items())
    }
