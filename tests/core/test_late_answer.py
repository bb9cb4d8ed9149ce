"""TwiML that came too late: which of it can still be carried out."""

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
    """Text in either form and attachments, with the sender named or not."""
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
def test_anything_else_is_said(inner: str, left_out: str) -> None:
    """Other verbs, and messages to others, are not carried out, which is written down."""
    assert _read(inner) == LateAnswer((), (left_out,))


def test_an_empty_message_is_nothing() -> None:
    """A <Message> without text and attachment would be refused by Twilio."""
    assert _read("<Message/><Message> </Message>") == LateAnswer((), ())


def test_no_more_than_ten_are_sent() -> None:
    """The messages above the limit are reported."""
    late = _read("<Message>x</Message>" * (MOST + 5))
    assert len(late.messages) == MOST
    assert late.left_out == (f"all after {MOST} messages",)


@pytest.mark.parametrize(
    "declaration",
    ['<?xml version="1.0" encoding="us-ascii"?>', f'<?xml version="1.0" {" " * 250} encoding="no-such"?>'],
)
def test_what_a_document_says_of_its_encoding_is_not_believed_twice(declaration: str) -> None:
    """TwiML that was taken for an answer is read in the same way when it comes late."""
    body = f"{declaration}<Response><Message>¡Sí!</Message></Response>".encode()
    twiml = twiml_of(Answer(200, "text/xml", body, "https://target.example"))
    assert twiml is not None
    assert late_answer(twiml, SENDER, OURS, "whatsapp") == LateAnswer((Outgoing("¡Sí!"),), ())
