"""What an integration remembers of a conversation: the task or the Conversation that it has at Twilio.

It is a memory only: what is forgotten is looked for at Twilio.
"""

from collections.abc import Mapping
from typing import Protocol

from router.errors import StoreUnavailable
from router.integrations.base import Attempt, AttemptError, Failure


class Memory(Protocol):
    """Keeps a few short texts for each conversation, which only the holder of its lease reads and writes."""

    def get(self, account_sid: str, lane: str) -> dict[str, str]:
        """Return what is kept of a conversation, nothing when there is nothing; raise StoreUnavailable."""
        ...

    def put(self, account_sid: str, lane: str, known: Mapping[str, str]) -> None:
        """Keep this instead; raise StoreUnavailable."""
        ...


class Forgetful:
    """The memory of a process that delivers nothing."""

    def get(self, account_sid: str, lane: str) -> dict[str, str]:  # noqa: ARG002 - as the store's
        """Return nothing."""
        return {}

    def put(self, account_sid: str, lane: str, known: Mapping[str, str]) -> None:
        """Keep nothing."""


def recall(memory: Memory, attempt: Attempt) -> dict[str, str]:
    """Return what is kept of an attempt's conversation; raise AttemptError when the store does not answer."""
    try:
        return memory.get(attempt.account.sid, attempt.lane)
    except StoreUnavailable as error:
        raise AttemptError(Failure.REFUSED, "the store did not say what the conversation has at Twilio") from error


def remember(memory: Memory, attempt: Attempt, **known: str) -> None:
    """Keep something of an attempt's conversation; raise AttemptError when the store does not answer.

    What was written at Twilio is found by the next attempt.
    """
    try:
        memory.put(attempt.account.sid, attempt.lane, known)
    except StoreUnavailable as error:
        raise AttemptError(Failure.REFUSED, "the store did not keep what the conversation has at Twilio") from error
