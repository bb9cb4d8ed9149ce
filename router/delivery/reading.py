"""Reads a target's answer: TwiML for the customer, or an excerpt of an answer that cannot be used."""

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
    """The TwiML of an answer; without TwiML, what is wrong with the answer, and an excerpt of it.

    `shown` is the result of adding it to a web chat, "" on other channels.
    """

    twiml: Twiml | None = None
    wrong: str = ""
    excerpt: Excerpt | None = None
    shown: str = ""


NOTHING: Final = Reading()


def read_answer(answer: Answer, flow: FlexFlow, *, replayed: bool) -> Reading:
    """Read the target's answer to the customer; NOTHING if the flow does not relay.

    Also NOTHING for a replay, except in a web chat, whose visitor can still see the answer.
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
        seconds: how long the call to the store is repeated; then StoreUnavailable is raised.
    """
    if reading.twiml is None:
        return reading
    end = time.monotonic() + seconds
    _, message = read()
    shown = append_reply(store, message, reading.twiml, lambda: time.monotonic() > end)
    return replace(reading, shown=shown)
