"""Handlers: the operator's own functions, which receive a message and return the answer.

They run in a separate process for each worker; `router.handling` explains how and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from router.handling.frame import Kind, Reply
from router.handling.pool import Pool
from router.handling.process import LostError, NoChildError
from router.integrations.base import Attempt, AttemptError, Failure, Sender
from router.integrations.parts import Parts
from router.message.masking import discreet
from router.message.twiml import TRACEBACK, Answer, Excerpt
from router.settings.handler import HandlerSetting

XML: Final = "text/xml; charset=utf-8"
# The number of characters of an exception's text that are stored with the delivery.
REASON_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Handler:
    """Calls the handler that the flow names.

    Attributes:
        settings: the handlers that flows may name.
        pool: calls them.

    """

    settings: Mapping[str, HandlerSetting]
    pool: Pool

    def send(self, attempt: Attempt) -> Answer:
        """Call the handler; see `Sender.send`.

        `Undeliverable` is permanent, any other exception is a failure, and the outcome of an interrupted handler is
        unknown.
        """
        name = attempt.flow.integration.handler
        setting = self.settings.get(name)
        if setting is None:
            raise AttemptError(Failure.PERMANENT, f"no handler is called {name!r} in the settings")
        if setting.accounts and attempt.account.sid not in setting.accounts:
            raise AttemptError(Failure.PERMANENT, f"handler {name!r} is not for account {attempt.account.sid}")
        try:
            reply = self.pool.call(name, attempt.raw.pack(), attempt.seconds)
        except NoChildError as error:
            raise AttemptError(Failure.REFUSED, f"the handlers' process cannot begin: {error}") from error
        except LostError as lost:
            failure = Failure.UNKNOWN if lost.begun else Failure.REFUSED
            reason = f"handler {setting.path} {lost.reason}"
            raise AttemptError(failure, reason, lost=lost.at_fault, blameless=not lost.at_fault) from lost
        if reply.kind is not Kind.ANSWER:
            raise _error(f"handler {setting.path}", reply, attempt)
        return Answer(status=200, content_type=XML, body=reply.body, url="")

    def close(self) -> None:
        """End the processes."""
        self.pool.close()


def make_sender(parts: Parts) -> Sender:
    """Make the sender; it imports a handler with the first message for it (`router.handling.launch.check`)."""
    return Handler(parts.handlers, Pool({name: setting.path for name, setting in parts.handlers.items()}))


def _error(handler: str, reply: Reply, attempt: Attempt) -> AttemptError:
    """Make the error for a handler that returned no answer; the handler's own text may quote the customer."""
    if reply.kind is Kind.ENDED:
        return AttemptError(Failure.UNKNOWN, f"{handler} did not end in time")
    words = [_discreet(word, attempt) for word in reply.words]
    if reply.kind is Kind.WRONG_TYPE:
        return AttemptError(Failure.PERMANENT, f"{handler} returned {words[0]}; it may return str, TwiML or None")
    if reply.kind is Kind.UNDELIVERABLE:
        logged = f"{handler}: undeliverable"
        return AttemptError(Failure.PERMANENT, f"{logged}: {words[0] or 'no reason given'}", logged=logged)
    raised, text, *frames = words
    logged = f"{handler} raised {raised}{f' ({frames[-1]})' if frames else ''}"
    excerpt = Excerpt(TRACEBACK, "\n".join(frames)) if frames else None
    return AttemptError(Failure.FAILED, f"{handler} raised {raised}: {text}", logged=logged, excerpt=excerpt)


def _discreet(text: str, attempt: Attempt) -> str:
    return discreet(text, secrets=attempt.account.secrets, address=attempt.message.from_, most=REASON_LIMIT)
