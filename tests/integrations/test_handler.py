"""Handlers: what they may return, raise and be."""

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
from router.settings import HandlerSetting
from tests.integrations import handlers
from tests.integrations.sending import ACCOUNT_SID, FIELDS, attempt, flow, integrations, message_of, settings

MADE = settings()
PATH = "tests.integrations.handlers"


@pytest.fixture(scope="module")
def senders() -> Iterator[Integrations]:
    """The senders of a process, with handlers that return and raise what the message asks for."""
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
    """Have a message handled, and return the TwiML that Twilio gets of it (empty: the empty answer)."""
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
def test_results(senders: Integrations, asked: str, expected: bytes) -> None:
    """Text becomes a `<Message>`, TwiML stays as it is."""
    assert expected in _send(senders, asked)


@pytest.mark.parametrize("asked", ["none", "empty"])
def test_nothing_to_say(senders: Integrations, asked: str) -> None:
    """None and empty text are the empty answer, and the message is delivered."""
    assert _send(senders, asked) in {b"", EMPTY_TWIML}


def test_too_much_to_say(senders: Integrations) -> None:
    """What is beyond TwiML's limit is passed on as such, however long it is."""
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
def test_failures(senders: Integrations, asked: str, expected: tuple[Failure, str, str]) -> None:
    """Undeliverable is permanent, exceptions are failures; no reason and no log line quotes the customer."""
    error = _error(senders, asked, "raises")
    logged = re.sub(r"tests/integrations/handlers.py:\d+ in _deeper", "LAST", error.logged)
    assert (error.failure, error.reason, logged) == (
        expected[0],
        f"handler {PATH}:raises{expected[1]}",
        f"handler {PATH}:raises{expected[2]}",
    )


def test_frames(senders: Integrations) -> None:
    """What a handler raised is kept with its last frames, by file and line, without the router's own."""
    said = _error(senders, "an exception", "raises").excerpt
    assert said is not None
    assert said.type == TRACEBACK
    assert [re.sub(r"\d+", "N", line) for line in said.text.splitlines()] == [
        "tests/integrations/handlers.py:N in raises",
        "tests/integrations/handlers.py:N in _deeper",
    ]


def test_a_wrong_type(senders: Integrations) -> None:
    """A handler that returns what it may not is permanent: it would do so again."""
    error = _error(senders, "a wrong type")
    assert error.failure is Failure.PERMANENT
    assert error.reason == f"handler {PATH}:returns returned int; it may return str, TwiML or None"


def test_accounts(senders: Integrations) -> None:
    """A handler for some accounts is called for no other."""
    assert _send(senders, "text", "ours")
    assert _error(senders, "text", "theirs").reason == f"handler 'theirs' is not for account {ACCOUNT_SID}"


def test_unknown_name(senders: Integrations) -> None:
    """A flow that names a handler which the settings no longer have is permanent, and says so."""
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
def test_imports(module: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that cannot be imported is said in one sentence, which names it, its file and its line."""
    if module is not None:
        (tmp_path / "mine.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SettingsError) as caught:
        check({"good": "router.demo:handle", "mine": "mine:handle"})
    said = str(caught.value).replace(str(tmp_path), "FOLDER")
    assert re.sub(r"in /\S+ \(", "in PREFIX (", said) == f"handlers.mine: 'mine:handle' cannot be imported: {reason}"


def test_what_is_no_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is none of a function is refused, and so is a module that ends the process."""
    (tmp_path / "mine.py").write_text("handle = 7")
    (tmp_path / "ends.py").write_text("import os\nos._exit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SettingsError, match="'mine:handle' is not a function but int"):
        check({"mine": "mine:handle"})
    with pytest.raises(SettingsError, match=r"the process that imports them ended \(exit status 3\)"):
        check({"ends": "ends:handle"})


def test_demo(senders: Integrations) -> None:
    """The demo's echo handler is found by its path and says back what was written."""
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
