"""What a target's answer says to the customer, and what is kept of an answer that says nothing."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from router.delivery.chat_reply import append_reply
from router.flow.flex_flow import FlexFlow
from router.message.channel import WEB
from router.message.inbound import Message
from router.message.twiml import NOT_TWIML, Answer, Excerpt, NotTwiml, Twiml, excerpt_of, twiml_of
from router.store import Store
from router.value import value


@value
class Reading:
    """What an answer is to Twilio: TwiML, or nothing; why not, and what is kept of it then.

    `shown` is what became of it in a web chat, "" on other channels.
    """

    twiml: Twiml | None = None
    wrong: str = ""
    excerpt: Excerpt | None = None
    shown: str = ""


NOTHING: Final = Reading()


def read_answer(answer: Answer, flow: FlexFlow, *, replayed: bool) -> Reading:
    """Read what the target says to the customer; nothing where the flow does not relay.

    Nor for a replay, except of a web chat: its visitor still sees an answer that never came.
    """
    if flow.response != "relay" or (replayed and flow.channel_type != WEB):
        return NOTHING
    try:
        return Reading(twiml_of(answer))
    except NotTwiml as error:
        return Reading(None, f"{NOT_TWIML}{error}", excerpt_of(answer.content_type, answer.body))


def show(store: Store, read: Callable[[], tuple[Any, Message]], reading: Reading, seconds: float) -> Reading:
    """Append an answer to the visitor's chat.

    Args:
        store: the store.
        read: returns the message that was answered.
        reading: the answer.
        seconds: how long the store is tried; then StoreUnavailable is raised.
    """
    if reading.twiml is None:
        return reading
    end = time.monotonic() + seconds
    _, message = read()
    shown = append_reply(store, message, reading.twiml, lambda: time.monotonic() > end)
    return replace(reading, shown=shown)
