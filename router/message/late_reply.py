"""Selects the part of a late answer that can still be sent by REST: its messages to the sender.

https://www.twilio.com/docs/messaging/twiml/message
"""

from dataclasses import dataclass, field
from typing import Final

from router.message.address import canonical
from router.message.twiml import Twiml

# The maximum number of messages of one answer that are sent.
MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to the sender: its text, and the URLs of its attachments."""

    body: str = field(repr=False)
    media: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """The messages to send, in order, and descriptions of the verbs that are left out."""

    messages: tuple[Outgoing, ...]
    left_out: tuple[str, ...]


def late_answer(twiml: Twiml, sender: str, ours: str, channel: str) -> LateAnswer:
    """Select the messages of an answer that can be sent to `sender`, from `ours`, by REST."""
    messages: list[Outgoing] = []
    left_out: list[str] = []
    for verb in twiml.verbs:
        if verb.tag != "Message":
            left_out.append(f"<{verb.tag[:40]}>")
        elif verb.to and canonical(verb.to, channel) != canonical(sender, channel):
            left_out.append("a <Message> to another recipient")
        elif verb.from_ and canonical(verb.from_, channel) != canonical(ours, channel):
            left_out.append("a <Message> from another address")
        elif len(messages) == MOST:
            left_out.append(f"all after {MOST} messages")
            break
        elif verb.text or verb.media:
            messages.append(Outgoing(verb.text, verb.media))
    return LateAnswer(tuple(messages), tuple(left_out))
