"""Web chats: their records, their messages, and the rate limits of visitors. Every write is one script.

The fields of records and messages are in chat_record.py.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal

from router.store.chat_record import (
    PARTICIPANT,
    Chat,
    ChatMessage,
    Look,
    Participant,
    read_chat,
    write_chat,
    write_fields,
)
from router.store.client import Client
from router.store.keys import CHAT_KEYS, AccountKeys, bucket, chat_channel

if TYPE_CHECKING:
    from router.store.script import Word

# The key that signs tokens is replaced after this time; the old one stays valid for the same time again.
KEY_MS: Final = 30 * 86_400_000
# Messages read in one call: 100 of 32 KB are 3 MB.
MESSAGES_MOST: Final = 100
_PAGE: Final = 50


def digest(*parts: str) -> str:
    """Return 24 hexadecimal digits for the name of a key, which must not contain personal data."""
    return blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Chats:
    """Reads and writes web chats."""

    def __init__(self, client: Client, *, retention_seconds: float) -> None:
        self._client = client
        self.retention_ms = int(retention_seconds * 1000)

    def begin(self, chat: Chat, *, visitor: str = "", resume: bool = False) -> tuple[str, str]:
        """Begin a chat; return `begun`, `resumed` or `taken`, with a SID, as chat_begin.lua.

        `visitor` is the digest of the browser or of a signed identity; "" if the chat cannot be resumed.
        """
        keys = AccountKeys(chat.account_sid)
        record = keys.own_chats + chat.sid
        listed = digest(chat.identity)
        reply = self._client.script(
            "chat_begin",
            [
                record,
                keys.chat_messages + chat.sid,
                keys.chats,
                keys.chat_names,
                keys.chat_identities + listed,
                keys.chat_visitors + visitor if visitor else record,
            ],
            [
                chat.sid,
                chat.keep_ms(self.retention_ms),
                chat.unique_name,
                self.retention_ms,
                int(resume),
                "listed",
                listed,
                *write_chat(chat),
            ],
            writes=True,
        )
        return reply[0].decode(), reply[1].decode()

    def get(self, account_sid: str, sid: str) -> Chat | None:
        """Read a chat's record."""
        return read_chat(account_sid, sid, self._client.call("HGETALL", AccountKeys(account_sid).own_chats + sid))

    def of_visitor(self, account_sid: str, visitor: str) -> Chat | None:
        """Read the open chat of a visitor; None if the visitor was removed from it."""
        sid = self._client.call("GET", AccountKeys(account_sid).chat_visitors + visitor)
        chat = self.get(account_sid, sid.decode()) if sid else None
        return chat if chat and chat.state != "closed" and chat.participant_sid else None

    def named(self, account_sid: str, unique_name: str) -> Chat | None:
        """Read the chat that has, or had last, a unique name."""
        sid = self._client.call("HGET", AccountKeys(account_sid).chat_names, unique_name)
        return self.get(account_sid, sid.decode()) if sid else None

    def of_identity(self, account_sid: str, identity: str, start: int = 0, most: int = 0) -> list[Chat]:
        """Read the chats in which an identity is, or was, the visitor or a participant, the newest first.

        `start` is how many of them to skip, `most` how many to read, 0 for all.
        """
        index = AccountKeys(account_sid).chat_identities + digest(identity)
        return list(self._get_all(account_sid, self._client.call("ZRANGE", index, start, start + most - 1, "REV")))

    def newest(self, account_sid: str, *, before: float | None = None) -> Iterator[tuple[float, Chat]]:
        """Walk the chats from the newest activity to the oldest, each with its time in ms; begin before `before`."""
        index, end = AccountKeys(account_sid).chats, "+inf" if before is None else f"({before:.0f}"
        while entries := self._client.call(
            "ZRANGE", index, end, "-inf", "BYSCORE", "REV", "LIMIT", 0, _PAGE, "WITHSCORES"
        ):
            at = {sid.decode(): float(score) for sid, score in zip(entries[::2], entries[1::2], strict=True)}
            for chat in self._get_all(account_sid, entries[::2]):
                yield at[chat.sid], chat
            end = f"({float(entries[-1]):.0f}"

    def _get_all(self, account_sid: str, sids: Iterable[bytes]) -> Iterator[Chat]:
        names = [sid.decode() for sid in sids]
        prefix = AccountKeys(account_sid).own_chats
        replies = self._client.calls([("HGETALL", prefix + sid) for sid in names])
        for sid, reply in zip(names, replies, strict=True):
            if chat := read_chat(account_sid, sid, reply):
                yield chat

    def look(
        self, account_sid: str, sid: str, which: Literal["after", "before", "last"], index: int = 0, most: int = 20
    ) -> Look | None:
        """Read a chat's state with its messages after or before an index, or the last ones; None if there is no chat.

        Removed messages are left out, so there may be fewer than `most`. With `before` and `last` there is at least
        one, except at the beginning of the chat.
        """
        keys = AccountKeys(account_sid)
        reply = self._client.script(
            "chat_look",
            [keys.own_chats + sid, keys.chat_messages + sid],
            [which, max(-1, min(index, 2**53)), min(most, MESSAGES_MOST)],
        )
        if not reply:
            return None
        state, epoch, visitor, agent, closed_by, first, next_, start, *entries = reply
        messages = tuple((start + n, ChatMessage.read(each)) for n, each in enumerate(entries) if each)
        return Look(
            state.decode(),
            epoch.decode(),
            int(visitor),
            int(agent),
            closed_by.decode(),
            first,
            next_,
            start,
            start + len(entries),
            messages,
        )

    def post(self, chat: Chat, message: ChatMessage) -> int:
        """Append a message of an agent; return its index, -1 if there is no such chat, -2 if it is closed."""
        return int(
            self._client.script(
                "chat_post", self._keys(chat)[:3], [chat.keep_ms(self.retention_ms), message.write()], writes=True
            )
        )

    def find(self, chat: Chat, sid: str) -> tuple[int, ChatMessage] | None:
        """Return a message of a chat with its index; None if the chat does not have it."""
        end = 2**53
        while look := self.look(chat.account_sid, chat.sid, "before", end, 100):
            for index, each in look.messages:
                if each.sid == sid:
                    return index, each
            if look.start == look.first:
                break
            end = look.start
        return None

    def edit(self, chat: Chat, index: int, sid: str, message: ChatMessage | None) -> bool:
        """Replace the message with this index and SID, or remove it (None); return whether it was there.

        No index changes.
        """
        entry = message.write() if message else ""
        return bool(self._client.script("chat_edit", self._keys(chat)[:2], [index, sid, entry], writes=True))

    def mirror(self, chat: Chat, message: ChatMessage) -> int:
        """Append a message from the chat's Conversation at Twilio; return as chat_mirror.lua."""
        keys = [*self._keys(chat)[:3], AccountKeys(chat.account_sid).chat_mirrored + chat.sid]
        args: list[Word] = [chat.keep_ms(self.retention_ms), message.write(), message.sid, self.retention_ms]
        return int(self._client.script("chat_mirror", keys, args, writes=True))

    def answer(self, chat: Chat, message_sid: str, messages: Sequence[ChatMessage]) -> int:
        """Append the answer to a visitor's message, once; return as chat_answer.lua."""
        message = f"{AccountKeys(chat.account_sid).messages}{chat.account_sid}:{message_sid}"
        args: list[Word] = [chat.keep_ms(self.retention_ms), *(each.write() for each in messages)]
        return int(self._client.script("chat_answer", [*self._keys(chat)[:3], message], args, writes=True))

    def change(
        self,
        chat: Chat,
        values: Mapping[str, str | int | bool],
        *,
        event: Mapping[str, Any] | None = None,
        revoke: bool = False,
        active: bool = True,
    ) -> str:
        """Change fields of a chat; return as chat_change.lua. `active`: the change prolongs the time it is kept."""
        closing = values.get("state") == "closed"
        keep = self.retention_ms if closing else chat.keep_ms(self.retention_ms)
        return str(
            self._client.script(
                "chat_change",
                self._keys(chat),
                [keep, json.dumps(event) if event else "", int(revoke), int(active), *write_fields(values)],
                writes=True,
            ).decode()
        )

    def put_participant(self, chat: Chat, participant: Participant, event: Mapping[str, Any] | None = None) -> str:
        """Write a participant; return as `change`. The chat is added to the list of a new participant's identity."""
        if all(each.sid != participant.sid for each in chat.participants):
            listed, keys = digest(participant.identity), AccountKeys(chat.account_sid)
            chat_keys = [keys.own_chats + chat.sid, keys.chat_identities + listed]
            self._client.script("chat_list", chat_keys, [listed, self.retention_ms], writes=True)
        written = json.dumps(asdict(participant), ensure_ascii=False)
        return self.change(chat, {PARTICIPANT + participant.sid: written}, event=event, active=False)

    def remove_participant(self, chat: Chat, sid: str) -> str:
        """Remove a participant; return as `change`. If it is the visitor, all tokens of the chat become invalid."""
        if sid == chat.participant_sid:
            return self.change(chat, {"participant_sid": ""}, revoke=True, active=False)
        return self.change(chat, {PARTICIPANT + sid: ""}, active=False)

    def erase(self, chat: Chat) -> bool:
        """Erase a chat with its messages, and end its streams; return whether it was there."""
        keys = [*self._keys(chat), AccountKeys(chat.account_sid).chat_identities + digest(chat.identity)]
        return bool(self._client.script("chat_erase", keys, [chat.sid], writes=True))

    def tell(self, chat: Chat, event: Mapping[str, Any]) -> None:
        """Send an event to the chat's open streams; it is not kept."""
        self._client.call(
            "SPUBLISH", chat_channel(bucket(chat.account_sid)), f"{chat.account_sid}:{chat.sid} {json.dumps(event)}"
        )

    def limit(self, account_sid: str, counts: Sequence[tuple[str, int, int]]) -> float:
        """Count a visitor's action; return 0, or the seconds to wait if a limit is reached: then it is not counted.

        `counts` are (name of the counter, with the visitor; limit; period in seconds).
        """
        prefix = AccountKeys(account_sid).chat_limits
        args: list[Word] = [each for _, most, seconds in counts for each in (most, seconds * 1000)]
        wait: int = self._client.script("chat_limit", [prefix + what for what, _, _ in counts], args)
        return wait / 1000

    def keys(self) -> tuple[str, ...]:
        """Return the keys that sign visitors' tokens, the newest first."""
        keys = self._client.script("chat_keys", [CHAT_KEYS], [secrets.token_hex(32), KEY_MS], writes=True)
        return tuple(each.decode().partition(" ")[2] for each in keys)

    @staticmethod
    def _keys(chat: Chat) -> list[str]:
        keys = AccountKeys(chat.account_sid)
        return [keys.own_chats + chat.sid, keys.chat_messages + chat.sid, keys.chats, keys.chat_names]
