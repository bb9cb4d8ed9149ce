"""A Conversation at Twilio: the message starts one, or joins the one that its pair of addresses is bound to.

A bound pair is captured: Twilio adds each further message to the Conversation itself, but still calls the number's
webhook. So the router adds only messages from before the binding. Each step may be repeated: it first looks for the
result of an earlier attempt.

https://www.twilio.com/docs/conversations-classic/inbound-autocreation
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from router.integrations.base import Attempt, AttemptError, Failure, Sender
from router.integrations.codes import NAME_TAKEN, PAIRS_BOUND
from router.integrations.conversation_steps import Bound, Steps
from router.integrations.memory import Known, Memory
from router.integrations.parts import Parts
from router.integrations.rest import Rest, RestError
from router.integrations.web_conversation import WebConversation
from router.message.channel import WEB
from router.message.twiml import Answer

# If a message was accepted before the pair was bound, or up to this long after it, Twilio may not have captured it, so
# the router checks: a webhook may have been under way for 15 s, and clocks differ.
DOUBTFUL_SECONDS: Final = 60.0
# How long `Capture=always` relies on a pair's binding without checking it.
TRUSTED_SECONDS: Final = 600.0
# The maximum number of Conversations that one message may start, by replays after the previous one was closed.
NAMES: Final = 5
_SID: Final = re.compile(r"CH[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Starts and joins Conversations.

    For each conversation it stores `conversation`, the SID at Twilio; `bound`, when it was found to be bound to its
    pair of addresses; `asked`, when that was checked last; `ours`, "1" if the router started it; `interaction`, the
    state or SID of its Interaction; `claimed`, the messages that Twilio captured, each with the one that it is here.

    Args:
        rest: Twilio's REST API.
        memory: stores the Conversation of each conversation.
        sticky_hours: how long a Conversation with a janitor may be idle.
        chats: adds the messages of web chats.
        clock: Unix seconds.

    """

    rest: Rest
    memory: Memory
    sticky_hours: float
    chats: WebConversation
    clock: Callable[[], float] = time.time

    def send(self, attempt: Attempt) -> Answer:
        """Add the message to a Conversation, unless it is there already; see `Sender.send`."""
        steps = Steps(self.rest, attempt, time.monotonic())
        if attempt.message.channel == WEB:
            return self._of_chat(steps)
        known, now = Known(self.memory, attempt), self.clock()
        sid = known["conversation"]
        trusted = now - float(known["asked"] or 0) < TRUSTED_SECONDS
        if sid and trusted and attempt.flow.capture == "always" and not self._is_doubtful(attempt, known):
            return _answer(f"captured by {sid}")
        bound = steps.bound()
        if bound is None:
            if sid and attempt.flow.capture != "never" and (note := self._seen(steps, known)):
                return _answer(note)  # the Conversation has the message, and was closed since
            return self._start(steps, known)
        if sid != bound.sid:
            self._adopt(steps, known, bound)
        if attempt.flow.capture == "always":
            known.set(asked=str(now))
        return self._continue(steps, known)

    def _of_chat(self, steps: Steps) -> Answer:
        try:
            answer = self.chats.send(steps)
            noted = self._interact(steps, Known(self.memory, steps.attempt))
        except AttemptError as error:
            if error.failure is not Failure.UNKNOWN:
                raise
            # A repeated attempt first looks for the result, so it may be repeated, even for a flow of type studio.
            raise AttemptError(Failure.FAILED, error.reason, retry_after=error.retry_after) from error
        return replace(answer, note=_listed(answer.note, noted))

    def _continue(self, steps: Steps, known: Known) -> Answer:
        """Add the message to a Conversation that its pair is bound to, or leave that to Twilio."""
        attempt, sid = steps.attempt, known["conversation"]
        adding = attempt.flow.capture == "never" or attempt.replay or self._is_doubtful(attempt, known)
        note = self._seen(steps, known) if adding or attempt.repeats else ""
        if adding and not note:
            note = f"added {steps.add_message(sid)} to {sid}"
        return _answer(_listed(note or f"captured by {sid}", self._interact(steps, known)))

    def _start(self, steps: Steps, known: Known) -> Answer:
        """Start a Conversation: first the webhook, then the binding, then the message, so that no message is missed."""
        attempt = steps.attempt
        sid, is_new = self._created(steps)
        steps.attach(sid, look=not is_new)
        try:
            steps.bind(sid)
        except RestError as error:
            if error.code not in PAIRS_BOUND:
                raise
            other = _SID.search(error.text)
            if other is None or other[0] != sid:
                steps.drop(sid)
                return self._join(steps, known, other[0] if other else "", error)
        known.replace(conversation=sid, bound=str(self.clock()), ours="1")
        note = self._seen(steps, known) if attempt.repeats else ""
        note = note or f"started {sid}, added {steps.add_message(sid)}"
        return _answer(_listed(note, self._interact(steps, known)))

    def _created(self, steps: Steps) -> tuple[str, bool]:
        """Return a Conversation that is named after the message, and whether it was created just now."""
        attempt = steps.attempt
        name = f"router-{attempt.lane}-{attempt.message.message_sid}"
        for number in range(1, NAMES + 1):
            unique = name if number == 1 else f"{name}-{number}"
            try:
                return steps.create(unique, self.sticky_hours), True
            except RestError as error:
                if error.code != NAME_TAKEN:
                    raise
            existing = steps.find(unique)
            if existing:
                return existing, False
        raise AttemptError(Failure.PERMANENT, f"the message has started {NAMES} Conversations, and all are closed")

    def _join(self, steps: Steps, known: Known, sid: str, error: RestError) -> Answer:
        """Use the Conversation that the pair is bound to already, for example by another program."""
        bound = steps.bound()
        if bound is None:
            where = f"{sid}, which is not in the flow's chat service" if sid else "a Conversation that cannot be found"
            reason = f"the pair of addresses is bound to {where}: close it, or give the flow its ChatServiceSid"
            raise AttemptError(
                Failure.PERMANENT, f"{reason} ({error.code})", status=error.status, excerpt=error.excerpt
            ) from error
        self._adopt(steps, known, bound)
        return self._continue(steps, known)

    def _adopt(self, steps: Steps, known: Known, bound: Bound) -> None:
        """Store a Conversation that was found at Twilio."""
        attempt = steps.attempt
        name = f"router-{attempt.lane}-{attempt.message.message_sid}"
        crashed = attempt.repeats and bound.unique_name.startswith(name)  # after it had bound it, before it stored it
        known.replace(conversation=bound.sid, bound=str(self.clock()), ours="1" if crashed else "")

    def _is_doubtful(self, attempt: Attempt, known: Known) -> bool:
        """Return whether the pair may not have been bound yet when Twilio received the message."""
        return attempt.recovered or self.clock() - attempt.age <= float(known["bound"] or 0) + DOUBTFUL_SECONDS

    def _seen(self, steps: Steps, known: Known) -> str:
        """Return a note if the Conversation has the message already, added by the router or by Twilio; else ""."""
        attempt, sid = steps.attempt, known["conversation"]
        claimed = [each for each in known["claimed"].split(",") if each]
        seen = steps.seen(sid, self.clock() - attempt.age, claimed)
        if seen is None:
            return ""
        if seen.ours:
            return f"{sid} has it already"
        mine = f"{seen.sid}={attempt.message.message_sid}"
        if mine not in claimed:
            known.set(claimed=",".join([*claimed, mine][-20:]))
        return f"captured by {sid}"

    def _interact(self, steps: Steps, known: Known) -> str:
        """Request an Interaction from Flex, once for each Conversation that the router made; return a note, or ""."""
        attempt, sid = steps.attempt, known["conversation"]
        state = known["interaction"]
        if not attempt.flow.integration.interaction or known["ours"] != "1" or state not in {"", "asked"}:
            return ""
        if state == "asked":  # an earlier attempt requested it, and got no answer
            workspace = steps.routing_workspace()
            if not workspace or steps.has_task(workspace, sid):
                known.set(interaction="found" if workspace else "unanswered")
                return "" if workspace else "an Interaction was asked for, without an answer; it is not asked for again"
        known.set(interaction="asked")
        try:
            made = steps.interact(sid)
        except AttemptError as error:
            if error.failure in {Failure.REFUSED, Failure.PERMANENT}:
                known.set(interaction="")
            raise
        known.set(interaction=made)
        return f"Interaction {made}"


def make_sender(parts: Parts) -> Sender:
    """Make the sender; see `SenderModule`."""
    return Conversation(parts.rest, parts.memory, parts.settings.sticky_hours, parts.chats)


def _listed(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _answer(note: str) -> Answer:
    return Answer(200, "", b"", "", note=note)
