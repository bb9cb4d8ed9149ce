"""The values that an integration stores for a conversation: its task or its Conversation at Twilio.

This is only a cache: if a value is missing, the integration searches for the resource at Twilio.
"""

from collections.abc import Mapping
from typing import Protocol

from router.errors import StoreUnavailable
from router.integrations.base import Attempt, AttemptError, Failure


class Memory(Protocol):
    """Stores a few text values for each conversation; only the holder of its lease reads and writes them."""

    def get(self, account_sid: str, lane: str) -> dict[str, str]:
        """Return the values that are stored for a conversation, perhaps {}; raise StoreUnavailable."""
        ...

    def put(self, account_sid: str, lane: str, known: Mapping[str, str]) -> None:
        """Replace the values of a conversation; raise StoreUnavailable."""
        ...


class Forgetful:
    """The memory of a process that makes no deliveries: it stores nothing."""

    def get(self, account_sid: str, lane: str) -> dict[str, str]:  # noqa: ARG002 - as the store's
        """Return {}."""
        return {}

    def put(self, account_sid: str, lane: str, known: Mapping[str, str]) -> None:
        """Store nothing."""


def recall(memory: Memory, attempt: Attempt) -> dict[str, str]:
    """Return the values of an attempt's conversation; raise AttemptError if the store does not answer."""
    try:
        return memory.get(attempt.account.sid, attempt.lane)
    except StoreUnavailable as error:
        raise AttemptError(Failure.REFUSED, "the store did not say what the conversation has at Twilio") from error


def remember(memory: Memory, attempt: Attempt, **known: str) -> None:
    """Replace the values of an attempt's conversation; raise AttemptError if the store does not answer.

    Then the next attempt finds at Twilio what this one has written.
    """
    try:
        memory.put(attempt.account.sid, attempt.lane, known)
    except StoreUnavailable as error:
        raise AttemptError(Failure.REFUSED, "the store did not keep what the conversation has at Twilio") from error
