"""What every integration has in common: what it is given, and the one error it may raise.

Integrations report, delivery decides: a sender makes one attempt and says what came of it. Nobody here repeats
anything or knows of retries, lanes and leases.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from router.errors import RouterError
from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message, Raw
from router.message.twiml import Answer, Said
from router.settings import Account


class Failure(Enum):
    """The kinds of failure that delivery treats differently."""

    REFUSED = "refused"
    """Nothing was processed: no name, no connection, no TLS, 429, 503. Waits, and costs no retry."""

    FAILED = "failed"
    """The target answered that it could not: 5xx, 408, 425, or an exception of a handler."""

    UNKNOWN = "unknown"
    """Something was sent and no answer came back: it may or may not have been processed."""

    PERMANENT = "permanent"
    """The answer would be the same again: other 3xx and 4xx, or a flow that cannot be sent to."""


class AttemptError(RouterError):
    """The attempt did not deliver the message.

    Args:
        failure: the kind, which is all that decides what happens next.
        reason: one sentence for people, without secrets, bodies or addresses of customers.
        status: the HTTP status, when there was one.
        retry_after: seconds for which the target asked to be left alone (`Retry-After`), never negative.
        unreachable: whether there was no connection (name, connect, TLS), as there would be none for any account.
        logged: the reason as the log may have it, where `reason` may quote the customer.
        said: what came back instead of a good answer.
        lost: whether the message took the process that had it with it; it is given up the second time.
        blameless: whether another message did so. Nothing is held against this one, nor against its target.

    """

    def __init__(  # noqa: PLR0913 - each is named at the call
        self,
        failure: Failure,
        reason: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        unreachable: bool = False,
        logged: str | None = None,
        said: Said | None = None,
        lost: bool = False,
        blameless: bool = False,
    ) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.unreachable = unreachable
        self.logged = reason if logged is None else logged
        self.said = said
        self.lost = lost
        self.blameless = blameless


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at delivering one message.

    `number` counts from 1 and begins again with a replay. `language` is a BCP 47 tag, empty when not known. It may take
    so many `seconds`.
    """

    account: Account
    flow: FlexFlow
    message: Message
    raw: Raw
    number: int
    replay: bool = False
    language: str = ""
    seconds: float = 22.0


class Sender(Protocol):
    """One kind of integration."""

    def send(self, attempt: Attempt) -> Answer:
        """Deliver the message once and return what the target answered.

        The caller bounds the call with one `gevent.Timeout`. A sender that is ended by it lets go of all it holds
        and raises `AttemptError`: only it knows whether anything had been sent (`UNKNOWN`) or not (`REFUSED`).

        Raises:
            AttemptError: the message was not delivered, or nobody can know.

        """
        ...
