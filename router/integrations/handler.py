"""Handlers: functions of the operator's own that take a message and say what to answer."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from gevent import Timeout
from twilio.twiml import TwiML

from router.errors import SettingsError, Undeliverable
from router.integrations.base import Attempt, AttemptError, Failure
from router.message.inbound import Message, mask
from router.message.twiml import EMPTY_TWIML, Answer
from router.settings import Account, HandlerSetting

Handle = Callable[[Message], str | TwiML | None]

XML: Final = "text/xml; charset=utf-8"
# How much of an exception's own text is kept with the delivery.
REASON_LIMIT: Final = 200
# Characters that no XML 1.0 document may hold: https://www.w3.org/TR/xml/#charsets
_NOT_XML: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF))


@dataclass(frozen=True, slots=True)
class Handler:
    """Calls the handler that the flow names, in the caller's greenlet.

    Attributes:
        functions: the handlers of this process, by name, with the accounts they are for (none: all).

    """

    functions: Mapping[str, tuple[Handle, tuple[str, ...]]]

    def send(self, attempt: Attempt) -> Answer:
        """Call the handler; see `Sender.send`.

        `Undeliverable` is permanent, any other exception is a failure, and a handler that the deadline ended has done
        nobody knows what.
        """
        name = attempt.flow.integration.handler
        function, accounts = self.functions.get(name, (None, ()))
        if function is None:
            raise AttemptError(Failure.PERMANENT, f"no handler is called {name!r} in the settings")
        if accounts and attempt.account.sid not in accounts:
            raise AttemptError(Failure.PERMANENT, f"handler {name!r} is not for account {attempt.account.sid}")
        try:
            result = function(attempt.message)
        except Undeliverable as error:
            reason = _discreet(str(error), attempt) or "no reason given"
            raise AttemptError(Failure.PERMANENT, f"handler {name!r}: undeliverable: {reason}") from error
        except Timeout as error:
            raise AttemptError(Failure.UNKNOWN, f"handler {name!r} did not end in time") from error
        except (Exception, SystemExit) as error:  # SystemExit in a greenlet would end the whole process
            reason = _discreet(f"{type(error).__name__}: {error}", attempt)
            raise AttemptError(Failure.FAILED, f"handler {name!r} raised {reason}") from error
        return Answer(status=200, content_type=XML, body=_twiml(name, result), url="")


def load_handlers(settings: Mapping[str, HandlerSetting]) -> Handler:
    """Import every handler once.

    Raises:
        SettingsError: one that cannot be imported or is not callable; it names the handler.

    """
    return Handler({name: (_import(name, setting.path), tuple(setting.accounts)) for name, setting in settings.items()})


def _import(name: str, path: str) -> Handle:
    setting = f"handlers.{name}"
    module, _, attributes = path.partition(":")
    if not module or not attributes:
        raise SettingsError(setting, f"{path!r} is not of the form package.module:function")
    try:
        function = importlib.import_module(module)
        for attribute in attributes.split("."):
            function = getattr(function, attribute)
    except Exception as error:
        raise SettingsError(setting, f"{path!r} cannot be imported ({type(error).__name__}: {error})") from error
    if not callable(function):
        raise SettingsError(setting, f"{path!r} is not a function")
    return function


def _twiml(name: str, result: object) -> bytes:
    if result is None or result == "":
        return EMPTY_TWIML
    if isinstance(result, str):
        text = escape(result.translate(_NOT_XML))
        twiml = f'<?xml version="1.0" encoding="UTF-8"?><Response><Message>{text}</Message></Response>'
    elif isinstance(result, TwiML):
        twiml = str(result)
    else:
        reason = f"handler {name!r} returned {type(result).__name__}; it may return str, TwiML or None"
        raise AttemptError(Failure.PERMANENT, reason)
    return twiml.encode()


def _discreet(text: str, attempt: Attempt) -> str:
    """Shorten an exception's text to one line that gives neither the account's secrets nor the customer away."""
    for secret in _secrets(attempt.account):
        text = text.replace(secret, "•••")
    sender = attempt.message.from_
    return " ".join(text.replace(sender, mask(sender)).split())[:REASON_LIMIT]


def _secrets(account: Account) -> tuple[str, ...]:
    shared, api = (key.secret for key in account.shared_keys), (key.secret for key in account.api_keys)
    return (*account.auth_tokens, *shared, *api)
