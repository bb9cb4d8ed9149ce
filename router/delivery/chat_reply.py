"""Appends an integration's answer to the web chat, once, before the message is settled.

After a crash in between, the message is delivered again, by its flow's RetryPolicy; that answer is not appended.
"""

import secrets
import time
from collections.abc import Callable
from typing import Final

import gevent

from router.errors import StoreUnavailable
from router.message.inbound import Message
from router.message.late_reply import late_answer
from router.message.twiml import Twiml
from router.store import Store
from router.store.chat_record import ChatMessage

# The maximum number of ignored kinds of TwiML instructions named in a report.
_NAMED: Final = 5
# The author of an integration's answer: Conversations' name for an author who is not a participant.
AUTHOR: Final = "system"


def append_reply(store: Store, message: Message, twiml: Twiml, until: Callable[[], bool]) -> str:
    """Append an answer to the visitor's chat; return the result in one sentence.

    Args:
        store: the store.
        message: the visitor's message.
        twiml: the answer.
        until: returns whether to give up; called while the store does not answer.

    Raises StoreUnavailable, perhaps after the answer was appended; a repeated call does not append it again.
    """
    late = late_answer(twiml, message.from_, message.to, message.channel)
    now = time.time_ns() // 1_000_000
    answers = [
        ChatMessage(f"IM{secrets.token_hex(16)}", AUTHOR, "\n".join(filter(None, (each.body, *each.media))), now, "bot")
        for each in late.messages
    ]
    results = []
    if answers:
        chat = store.chats.get(message.account_sid, message.conversation_sid)
        if chat is None:
            return "not shown: the chat is gone"
        while True:
            try:
                shown = store.chats.answer(chat, message.message_sid, answers)
                break
            except StoreUnavailable:
                if until():
                    raise
                gevent.sleep(0.5)
        if shown < 0:
            return "not shown: the message was answered before" if shown == -1 else "not shown: the chat is closed"
        results.append(f"shown in the chat: {', '.join(each.sid for each in answers)}")
    if late.left_out:
        kinds = list(dict.fromkeys(late.left_out))
        results.append(f"not carried out: {', '.join(kinds[:_NAMED])}{' …' if len(kinds) > _NAMED else ''}")
    return "; ".join(results) or "nothing in it is for the visitor"
