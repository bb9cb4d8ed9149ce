"""TwiML that comes too late to be the answer: which of it the router still carries out."""

import pytest

from router.message.late_reply import MOST, LateAnswer, Outgoing, late_answer
from router.message.twiml import Answer, twiml_of

SENDER, OURS = "whatsapp:+15550001111", "whatsapp:+15550002222"


def _read(inner: str) -> LateAnswer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Response>{inner}</Response>'.encode()
    twiml = twiml_of(Answer(200, "text/xml", body, "https://target.example"))
    assert twiml is not None
    return late_answer(twiml, SENDER, OURS, "whatsapp")


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<Message>Hola</Message>", Outgoing("Hola")),
        ("<Message> <Body>Hola &amp; adiós</Body> </Message>", Outgoing("Hola & adiós")),
        (
            "<Message><Body>Look</Body><Media>https://a.example/1</Media><Media> https://a.example/2</Media></Message>",
            Outgoing("Look", ("https://a.example/1", "https://a.example/2")),
        ),
        ("<Message><Media>https://a.example/1</Media></Message>", Outgoing("", ("https://a.example/1",))),
        (f'<Message to="{SENDER}" from="{OURS}">Hola</Message>', Outgoing("Hola")),
        ('<Message to="whatsapp:1 555 000 1111">Hola</Message>', Outgoing("Hola")),
    ],
)
def test_a_message_to_the_sender_is_sent(inner: str, expected: Outgoing) -> None:
    """A late <Message> to the sender is sent, with its text and its media."""
    assert _read(inner) == LateAnswer((expected,), ())


@pytest.mark.parametrize(
    ("inner", "left_out"),
    [
        ("<Redirect>https://a.example</Redirect>", "<Redirect>"),
        ('<Message to="whatsapp:+15559999999">Hola</Message>', "a <Message> to another recipient"),
        ('<Message from="whatsapp:+15559999999">Hola</Message>', "a <Message> from another address"),
        ("<Sms>Hola</Sms>", "<Sms>"),
    ],
)
def test_other_verbs_and_recipients_are_left_out_and_listed(inner: str, left_out: str) -> None:
    """Other verbs, and messages to or from another address, are not carried out but listed."""
    assert _read(inner) == LateAnswer((), (left_out,))


def test_an_empty_message_is_not_sent() -> None:
    """A <Message> without text and media is not sent, because Twilio would refuse it."""
    assert _read("<Message/><Message> </Message>") == LateAnswer((), ())


def test_no_more_than_ten_are_sent() -> None:
    """At most ten messages are sent, and the others are listed as left out."""
    late = _read("<Message>x</Message>" * (MOST + 5))
    assert len(late.messages) == MOST
    assert late.left_out == (f"all after {MOST} messages",)


@pytest.mark.parametrize(
    "declaration",
    ['<?xml version="1.0" encoding="us-ascii"?>', f'<?xml version="1.0" {" " * 250} encoding="no-such"?>'],
)
def test_a_wrong_encoding_declaration_does_not_change_a_late_answer(declaration: str) -> None:
    """Late TwiML is read as UTF-8, whatever encoding its XML declaration names."""
    body = f"{declaration}<Response><Message>¡Sí!</Message></Response>".encode()
    twiml = twiml_of(Answer(200, "text/xml", body, "https://target.example"))
    assert twiml is not None
    assert late_answer(twiml, SENDER, OURS, "whatsapp") == LateAnswer((Outgoing("¡Sí!"),), ())
