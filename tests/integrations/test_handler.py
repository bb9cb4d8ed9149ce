"""Handlers: their results, exceptions and imports."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.demo import handle
from router.errors import SettingsError
from router.handling.launch import check
from router.integrations import Failure, Integrations
from router.integrations.base import AttemptError
from router.message.inbound import Message
from router.message.twiml import EMPTY_TWIML, MAX_BYTES, TRACEBACK, twiml_of
from router.settings.handler import HandlerSetting
from tests.integrations import handlers
from tests.integrations.sending import ACCOUNT_SID, FIELDS, attempt, flow, integrations, message_of, settings

MADE = settings()
PATH = "tests.integrations.handlers"


@pytest.fixture(scope="module")
def senders() -> Iterator[Integrations]:
    """A process's senders, with handlers that return or raise what the message names."""
    names = {
        "returns": HandlerSetting(path=f"{PATH}:returns"),
        "raises": HandlerSetting(path=f"{PATH}:raises"),
        "ours": HandlerSetting(path=f"{PATH}:returns", accounts=(ACCOUNT_SID,)),
        "theirs": HandlerSetting(path=f"{PATH}:returns", accounts=("AC" + "f" * 32,)),
        "echo": HandlerSetting(path="router.demo:handle"),
    }
    made = integrations(MADE, names)
    yield made
    made.close()


def _send(senders: Integrations, body: str, name: str = "returns") -> bytes:
    """Send a message to a handler; return the TwiML for Twilio, empty for none."""
    answer = senders.send(attempt(MADE, flow("handler", handler=name), message_of(body)))
    assert answer.status == 200
    twiml = twiml_of(answer)
    return twiml.xml if twiml else b""


def _error(senders: Integrations, body: str, name: str = "returns") -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        _send(senders, body, name)
    return caught.value


RESULTS = {
    "text": b"<Response><Message>Hola</Message></Response>",
    "text with markup": b"<Message>&lt;b&gt;&amp;</Message>",
    "text that XML cannot hold": b"<Message>ab\n</Message>",
    "emoji": "<Message>👋🏽</Message>".encode(),
    "TwiML": str(handlers.TWIML).encode(),
}


@pytest.mark.parametrize(("asked", "expected"), RESULTS.items(), ids=RESULTS.keys())
def test_text_becomes_a_message_and_twiml_stays(senders: Integrations, asked: str, expected: bytes) -> None:
    """A handler's text becomes a <Message>, and its TwiML stays unchanged."""
    assert expected in _send(senders, asked)


@pytest.mark.parametrize("asked", ["none", "empty"])
def test_none_and_empty_text_are_the_empty_answer(senders: Integrations, asked: str) -> None:
    """If a handler returns None or empty text, the message is delivered with the empty answer."""
    assert _send(senders, asked) in {b"", EMPTY_TWIML}


def test_a_too_long_result_is_cut_beyond_the_limit(senders: Integrations) -> None:
    """A result beyond TwiML's limit is cut one byte after it, so it is recognized as too long."""
    to = flow("handler", handler="returns")
    answer = senders.send(attempt(MADE, to, message_of("more than an answer can be")))
    assert len(answer.body) == MAX_BYTES + 1


FAILURES = {
    "undeliverable": (Failure.PERMANENT, ": undeliverable: no such customer", ": undeliverable"),
    "undeliverable without a reason": (Failure.PERMANENT, ": undeliverable: no reason given", ": undeliverable"),
    "an exception": (Failure.FAILED, " raised ValueError: bad luck", " raised ValueError (LAST)"),
    "an exit": (Failure.FAILED, " raised SystemExit: 1", " raised SystemExit (LAST)"),
    "a time-out of its own": (Failure.UNKNOWN, " did not end in time", " did not end in time"),
    "a secret": (Failure.FAILED, " raised ValueError: <•••>", " raised ValueError (LAST)"),
    "the customer": (Failure.FAILED, " raised ValueError: +15•••01", " raised ValueError (LAST)"),
    "a long text": (Failure.FAILED, f" raised ValueError: {'x' * 200}", " raised ValueError (LAST)"),
    "no text": (Failure.FAILED, " raised ValueError: ?", " raised ValueError (LAST)"),
}


@pytest.mark.parametrize(("asked", "expected"), FAILURES.items(), ids=FAILURES.keys())
def test_exceptions_of_a_handler(senders: Integrations, asked: str, expected: tuple[Failure, str, str]) -> None:
    """Undeliverable is permanent, another exception a failure; no reason or log quotes a secret or the customer."""
    error = _error(senders, asked, "raises")
    logged = re.sub(r"tests/integrations/handlers.py:\d+ in _deeper", "LAST", error.logged)
    assert (error.failure, error.reason, logged) == (
        expected[0],
        f"handler {PATH}:raises{expected[1]}",
        f"handler {PATH}:raises{expected[2]}",
    )


def test_an_exceptions_last_frames_are_kept(senders: Integrations) -> None:
    """An exception's frames in the handler's own code are kept, by file and line."""
    said = _error(senders, "an exception", "raises").excerpt
    assert said is not None
    assert said.type == TRACEBACK
    assert [re.sub(r"\d+", "N", line) for line in said.text.splitlines()] == [
        "tests/integrations/handlers.py:N in raises",
        "tests/integrations/handlers.py:N in _deeper",
    ]


def test_a_result_of_another_type_is_permanent(senders: Integrations) -> None:
    """A result of another type than str, TwiML or None is a permanent failure."""
    error = _error(senders, "a wrong type")
    assert error.failure is Failure.PERMANENT
    assert error.reason == f"handler {PATH}:returns returned int; it may return str, TwiML or None"


def test_a_handler_for_some_accounts_is_not_called_for_others(senders: Integrations) -> None:
    """A handler for some accounts is refused for any other."""
    assert _send(senders, "text", "ours")
    assert _error(senders, "text", "theirs").reason == f"handler 'theirs' is not for account {ACCOUNT_SID}"


def test_a_handler_missing_in_the_settings_is_permanent(senders: Integrations) -> None:
    """A handler that the settings do not have is a permanent failure that names it."""
    error = _error(senders, "text", "gone")
    assert (error.failure, error.reason) == (Failure.PERMANENT, "no handler is called 'gone' in the settings")


MODULES = {
    "no module": (None, "mine.py is neither in FOLDER, where the router was started, nor installed"),
    "no function": ("", "mine has no 'handle'"),
    "no such dependency": (
        "import json\nimport not_there",
        "it needs 'not_there', which is not installed in PREFIX (mine.py:2 in <module>)",
    ),
    "no syntax": ("def handle(:\n", "mine.py:1: invalid syntax"),
    "an exception": ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError: division by zero (mine.py:2 in f)"),
    "an exit": ("import sys\nsys.exit('no key')", "SystemExit: no key (mine.py:2 in <module>)"),
}


@pytest.mark.parametrize(("module", "reason"), MODULES.values(), ids=MODULES.keys())
def test_a_handler_that_cannot_be_imported_is_one_sentence(
    module: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that cannot be imported is reported in one sentence with its name, file and line."""
    if module is not None:
        (tmp_path / "mine.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SettingsError) as caught:
        check({"good": "router.demo:handle", "mine": "mine:handle"})
    said = str(caught.value).replace(str(tmp_path), "FOLDER")
    assert re.sub(r"in /\S+ \(", "in PREFIX (", said) == f"handlers.mine: 'mine:handle' cannot be imported: {reason}"


def test_a_handler_must_be_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that is not a function is refused, and so is a module that ends the process."""
    (tmp_path / "mine.py").write_text("handle = 7")
    (tmp_path / "ends.py").write_text("import os\nos._exit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SettingsError, match="'mine:handle' is not a function but int"):
        check({"mine": "mine:handle"})
    with pytest.raises(SettingsError, match=r"the process that imports them ended \(exit status 3\)"):
        check({"ends": "ends:handle"})


def test_the_demos_echo_handler_can_be_called(senders: Integrations) -> None:
    """The demo's echo handler is imported by its path and answers with the message's text."""
    answer = senders.send(attempt(MADE, flow("handler", handler="echo")))
    assert "¿qué tal? &amp; más" in answer.body.decode()


ECHOES: dict[str, tuple[dict[str, str], str]] = {
    "text": ({"Body": "Hola"}, "You wrote: Hola"),
    "a picture": ({"NumMedia": "1"}, "You sent 1 attachment."),
    "text and pictures": ({"Body": "Hola", "NumMedia": "2"}, "You wrote with 2 attachments: Hola"),
    "nothing": ({}, "You sent an empty message."),
}


@pytest.mark.parametrize(("fields", "expected"), ECHOES.values(), ids=ECHOES.keys())
def test_the_echo_names_text_and_attachments(fields: dict[str, str], expected: str) -> None:
    """The echo's text names the message's text and the number of attachments, or says that it is empty."""
    assert handle(Message.parse({**dict(FIELDS), "Body": "", **fields}.items())) == expected
