"""The common interface of the integrations: the attempt, the sender, and the one error that a sender may raise.

A sender makes one attempt and reports its outcome; `router.delivery` decides what follows. Nothing in this package
retries a message, or depends on lanes and leases.
"""

from enum import Enum
from typing import Protocol, runtime_checkable

from router.errors import RouterError
from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message
from router.message.raw import Raw
from router.message.twiml import Answer, Excerpt
from router.settings import Account
from router.value import value


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
        failure: the kind of failure, on which the retry decision depends.
        reason: one sentence for people, without secrets, bodies or addresses of customers.
        status: the HTTP status, if there was one.
        retry_after: the delay in seconds that the target requested (`Retry-After`), never negative.
        unreachable: whether no connection was made (name, connect, TLS), independently of the account.
        logged: the reason without quoted text, for the log, if `reason` may quote the customer.
        excerpt: the content of an error answer.
        lost: whether this message crashed the handlers' process; it is given up the second time.
        blameless: whether another message crashed it. Neither this message nor its target is at fault.

    """

    def __init__(  # noqa: PLR0913 - keyword arguments
        self,
        failure: Failure,
        reason: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        unreachable: bool = False,
        logged: str | None = None,
        excerpt: Excerpt | None = None,
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
        self.excerpt = excerpt
        self.lost = lost
        self.blameless = blameless


@value
class Attempt:
    """One attempt to deliver one message.

    `number` counts from 1 and restarts with a replay. `language` is a BCP 47 tag, empty if unknown. `seconds` is the
    time limit. `lane` is the id of the conversation, `age` the seconds since the message was accepted; Twilio received
    a `recovered` one earlier than that.
    """

    account: Account
    flow: FlexFlow
    message: Message
    raw: Raw
    number: int
    replay: bool = False
    language: str = ""
    seconds: float = 22.0
    lane: str = ""
    age: float = 0.0
    recovered: bool = False

    @property
    def repeats(self) -> bool:
        """Return whether an earlier attempt, even an interrupted one, may have delivered the message."""
        return self.number > 1 or self.replay


class Sender(Protocol):
    """One integration type."""

    def send(self, attempt: Attempt) -> Answer:
        """Deliver the message once, and return the target's answer.

        The caller limits the call with one `gevent.Timeout`. A sender that is interrupted by it releases its resources
        and raises `AttemptError`: only the sender knows whether anything was sent (`UNKNOWN`) or not (`REFUSED`).

        Raises:
            AttemptError: the message was not delivered, or the outcome is unknown.

        """
        ...


@runtime_checkable
class HasUrl(Sender, Protocol):
    """A sender whose target has a URL that Twilio itself can call: `redirects` in `router.flow.integration_type`."""

    def url(self, account: Account, flow: FlexFlow) -> str:
        """Return the URL; raise `AttemptError` if neither the flow nor the account names a target."""
        ...


@runtime_checkable
class HasClose(Sender, Protocol):
    """A sender with resources that must be closed, such as processes."""

    def close(self) -> None:
        """Close the sender's resources."""
        ...
