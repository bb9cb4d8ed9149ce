"""The entry that a visitor's message adds to its web chat, in the step in which it is accepted into its lane.

The entry is a `ChatMessage` of chat_record.py.
"""

import json
from dataclasses import dataclass

from router.store.keys import AccountKeys


@dataclass(frozen=True, slots=True)
class Appended:
    """A message for a chat's list.

    Args:
        conversation_sid: the chat.
        index: the index that the message has; the store refuses the message if the chat's next index is another one.
        epoch: the chat's epoch in the visitor's token.
        entry: the message, from `ChatMessage.write`.
        keep_ms: how long the chat is kept from now on; 0 until it is closed.
    """

    conversation_sid: str
    index: int
    epoch: str
    entry: str
    keep_ms: int

    def keys(self, account_sid: str) -> list[str]:
        """Return the keys in the order of accept.lua."""
        keys = AccountKeys(account_sid)
        return [keys.own_chats + self.conversation_sid, keys.chat_messages + self.conversation_sid, keys.chats]

    def write(self) -> str:
        """Return it as JSON for accept.lua."""
        return json.dumps({"index": self.index, "epoch": self.epoch, "keep": self.keep_ms, "entry": self.entry})
