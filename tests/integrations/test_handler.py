"""Handlers: what they may return, raise and be."""

import sys
from pathlib import Path

import gevent
import pytest
from twilio.twiml.messaging_response import MessagingResponse

from router.demo import handle
from router.errors import SettingsError, Undeliverable
from router.integrations import Failure
from router.integrations.base import AttemptError
from router.integrations.handler import Handle, Handler, load_handlers
from router.message.inbound import Message
from router.message.twiml import EMPTY_TWIML, twiml_of
from router.settings import HandlerSetting
from tests.integrations.sending import ACCOUNT_SID, FIELDS, TOKEN, attempt, flow, integrations, settings

MADE = settings()


def _send(function: Handle, accounts: tuple[str, ...] = ()) -> bytes:
    """Have a message handled, and return the TwiML that Twilio gets of it (empty: the empty answer)."""
    answer = Handler({"it": (function, accounts)}).send(attempt(MADE, flow("handler", handler="it")))
    assert answer.status == 200
    twiml = twiml_of(answer)
    return twiml.xml if twiml else b""


def _error(function: Handle, accounts: tuple[str, ...] = ()) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        _send(function, accounts)
    return caught.value


def _returns(result: object) -> Handle:
    return lambda _: result


def _raises(error: BaseException) -> Handle:
    def function(_: Message) -> str:
        raise error

    return function


_TWIML = MessagingResponse()
_TWIML.message("Hola")
_TWIML.redirect("https://example.com/next")

RESULTS = {
    "text": ("Hola", b"<Response><Message>Hola</Message></Response>"),
    "text with markup": ("<b>&", b"<Message>&lt;b&gt;&amp;</Message>"),
    "text that XML cannot hold": ("a\x00\x0b\ud800b\n", b"<Message>ab\n</Message>"),
    "emoji": ("👋🏽", "<Message>👋🏽</Message>".encode()),
    "TwiML": (_TWIML, str(_TWIML).encode()),
}


@pytest.mark.parametrize(("result", "expected"), RESULTS.values(), ids=RESULTS.keys())
def test_results(result: object, expected: bytes) -> None:
    """Text becomes a `<Message>`, TwiML stays as it is."""
    assert expected in _send(_returns(result))


@pytest.mark.parametrize("result", [None, ""])
def test_nothing_to_say(result: object) -> None:
    """None and empty text are the empty answer, and the message is delivered."""
    assert _send(_returns(result)) in {b"", EMPTY_TWIML}


FAILURES: dict[str, tuple[Handle, Failure, str]] = {
    "undeliverable": (_raises(Undeliverable("no such customer")), Failure.PERMANENT, "undeliverable: no such customer"),
    "an exception": (_raises(ValueError("bad\nluck")), Failure.FAILED, "raised ValueError: bad luck"),
    "an exit": (_raises(SystemExit(1)), Failure.FAILED, "raised SystemExit: 1"),
    "a time-out of its own": (_raises(gevent.Timeout(1)), Failure.UNKNOWN, "did not end in time"),
    "a wrong type": (_returns(7), Failure.PERMANENT, "returned int; it may return str, TwiML or None"),
    "the token in the text": (_raises(ValueError(f"<{TOKEN}>")), Failure.FAILED, "raised ValueError: <•••>"),
    "the customer in the text": (_raises(ValueError(FIELDS[2][1])), Failure.FAILED, "raised ValueError: +15•••01"),
}


@pytest.mark.parametrize(("function", "failure", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_failures(function: Handle, failure: Failure, reason: str) -> None:
    """Undeliverable and a wrong type are permanent, exceptions are failures; the reason gives nobody away."""
    error = _error(function)
    assert (error.failure, error.reason.removeprefix("handler 'it' ").removeprefix("handler 'it': ")) == (
        failure,
        reason,
    )


def test_long_reason() -> None:
    """An exception's text is cut to a line that a delivery can keep."""
    assert len(_error(_raises(ValueError("x" * 10_000))).reason) < 250


def test_accounts() -> None:
    """A handler for some accounts is called for no other."""
    assert _send(_returns("yes"), (ACCOUNT_SID,))
    called: list[Message] = []

    def function(message: Message) -> None:
        called.append(message)

    error = _error(function, ("AC" + "f" * 32,))
    assert (error.failure, called) == (Failure.PERMANENT, [])


def test_unknown_name() -> None:
    """A flow that names a handler which the settings no longer have is permanent, and says so."""
    with pytest.raises(AttemptError, match="no handler is called 'gone'") as caught:
        Handler({}).send(attempt(MADE, flow("handler", handler="gone")))
    assert caught.value.failure is Failure.PERMANENT


PATHS = {
    "no module": ("nowhere_to_be_found:handle", "ModuleNotFoundError"),
    "no function": ("router.demo:nothing", "AttributeError"),
    "not a function": ("router.demo:__name__", "is not a function"),
    "a module that fails": ("failing_at_import:handle", "ZeroDivisionError"),
}


@pytest.mark.parametrize(("path", "reason"), PATHS.values(), ids=PATHS.keys())
def test_imports(path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that cannot be imported stops the start, and is named."""
    (tmp_path / "failing_at_import.py").write_text("1 / 0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(SettingsError, match=reason) as caught:
        load_handlers({"mine": HandlerSetting(path=path)})
    assert caught.value.name == "handlers.mine"


def test_demo() -> None:
    """The demo's echo handler is found by its path and says back what was written."""
    senders = integrations(MADE, {"echo": HandlerSetting(path="router.demo:handle")})
    answer = senders.send(attempt(MADE, flow("handler", handler="echo")))
    assert "¿qué tal? &amp; más" in answer.body.decode()


ECHOES: dict[str, tuple[dict[str, str], str]] = {
    "text": ({"Body": "Hola"}, "You wrote: Hola"),
    "a picture": ({"NumMedia": "1"}, "You sent 1 attachment."),
    "text and pictures": ({"Body": "Hola", "NumMedia": "2"}, "You wrote with 2 attachments: Hola"),
    "nothing": ({}, "You sent an empty message."),
}


@pytest.mark.parametrize(("fields", "expected"), ECHOES.values(), ids=ECHOES.keys())
def test_echo(fields: dict[str, str], expected: str) -> None:
    """The echo says what there was: text, attachments, or nothing."""
    assert handle(Message.parse({**dict(FIELDS), "Body": "", **fields}.items())) == expected
