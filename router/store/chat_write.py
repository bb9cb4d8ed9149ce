"""What a message of a visitor adds to its web chat, in the same step in which it is accepted into its lane.

What the entry holds is `ChatMessage` in chat_record.py; this only carries it.
"""

import json

from router.store.keys import AccountKeys
from router.value import frozen


@frozen
class Appended:
    """A message for a chat's list.

    Args:
        conversation_sid: the chat.
        index: the index that the message says it has; the store refuses it when its place is another one.
        epoch: the chat's, as the visitor's token has it.
        entry: the message as `router.store.chats` keeps it.
        keep_ms: how long the chat is kept from now on; 0 until it is ended.
    """

    conversation_sid: str
    index: int
    epoch: str
    entry: str
    keep_ms: int

    def keys(self, account_sid: str) -> list[str]:
        """Return the keys as accept.lua wants them."""
        keys = AccountKeys(account_sid)
        return [keys.own_chats + self.conversation_sid, keys.chat_messages + self.conversation_sid, keys.chats]

    def write(self) -> str:
        """Write it as accept.lua reads it."""
        return json.dumps({"index": self.index, "epoch": self.epoch, "keep": self.keep_ms, "entry": self.entry})
