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


class Known:
    """The values that are stored for an attempt's conversation; a change is stored at once.

    Each method raises AttemptError if the store does not answer: the next attempt then finds at Twilio what this one
    has written.
    """

    def __init__(self, memory: Memory, attempt: Attempt) -> None:
        self._memory = memory
        self._conversation = attempt.account.sid, attempt.lane
        try:
            self._values = memory.get(*self._conversation)
        except StoreUnavailable as error:
            raise AttemptError(Failure.REFUSED, "the store did not say what the conversation has at Twilio") from error

    def __getitem__(self, name: str) -> str:
        """Return a value, "" if it is not stored."""
        return self._values.get(name, "")

    def set(self, **values: str) -> None:
        """Store some values; keep the others."""
        self.replace(**self._values | values)

    def replace(self, **values: str) -> None:
        """Store some values; remove the others."""
        self._values = values
        try:
            self._memory.put(*self._conversation, values)
        except StoreUnavailable as error:
            raise AttemptError(Failure.REFUSED, "the store did not keep what the conversation has at Twilio") from error
