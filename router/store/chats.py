"""Web chats: the record of each, its messages, and what visitors may do how often. Every write is one script.

A new field is an attribute of `Chat` or `ChatMessage`; the scripts and chat_write.py pass it through. It is filled in
router/chat/session.py (a visitor's chat), router/chat/sending.py (messages) or router/web/conversations/ (REST), and
shown by router/chat/resource.py.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Final, Literal

from router.store.client import Client, Word
from router.store.keys import CHAT_KEYS, AccountKeys, bucket, chat_channel

# A token's key is replaced after so long; the one before it is kept for as long again.
KEY_MS: Final = 30 * 86_400_000
# Messages read in one call: 100 of 32 KB are 3 MB.
MESSAGES_MOST: Final = 100
_PAGE: Final = 50


def digest(*parts: str) -> str:
    """Return 24 hexadecimal digits that stand for some texts in a key: no key has personal data in it."""
    return blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat, as its list has it.

    `side` is `visitor`, `agent` or `bot`; `date` is in ms since 1970; `attributes` is JSON; `client` is the id that the
    visitor's browser gave it.
    """

    sid: str
    author: str
    body: str = field(repr=False)
    date: int
    side: str
    client: str = ""
    attributes: str = "{}"
    participant_sid: str = ""

    def write(self) -> str:
        """Return it as JSON, without what is empty."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(
            {name: value for name, value in own.items() if value not in {"", "{}"}},
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def read(cls, text: bytes) -> "ChatMessage":
        """Read what `write` wrote, of this version or of a newer one."""
        known = {name: value for name, value in json.loads(text).items() if name in cls.__slots__}
        return cls(**({"body": ""} | known))


@dataclass(frozen=True, slots=True)
class Look:
    """A chat's state, and some of its messages with their indexes. `next` is the index of the next message."""

    state: str
    epoch: str
    read_visitor: int
    read_agent: int
    closed_by: str
    first: int
    next: int
    messages: tuple[tuple[int, ChatMessage], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Participant:
    """One who takes part beside the visitor: an agent, or a bot. `read` is an index, -1 for none."""

    sid: str
    identity: str = field(repr=False)
    attributes: str = field(repr=False, default="{}")
    read: int = -1
    read_at: int = 0
    created: int = 0
    updated: int = 0


@dataclass(frozen=True, slots=True)
class Chat:
    """The record of a chat. Dates are in ms since 1970; texts that were not given are "".

    `served` is the flow that got its last message. `untold` is the state before it was closed, until the integration
    has been told (`router.chat.ending`).
    """

    account_sid: str
    sid: str
    state: str
    flow_sid: str = ""
    address: str = ""
    identity: str = field(repr=False, default="")
    participant_sid: str = ""
    pinned: bool = False
    friendly_name: str = field(repr=False, default="")
    customer_name: str = field(repr=False, default="")
    unique_name: str = ""
    attributes: str = field(repr=False, default="{}")
    participant_attributes: str = field(repr=False, default="{}")
    pre_engagement_data: str = field(repr=False, default="")
    post_engagement_data: str = field(repr=False, default="")
    chat_service_sid: str = ""
    origin: str = ""
    language: str = ""
    timer_inactive: str = ""
    timer_closed: str = ""
    idle: int = 0
    lasting: bool = False
    created: int = 0
    updated: int = 0
    epoch: str = "0"
    closed_by: str = ""
    served: str = ""
    untold: str = ""
    read_visitor: int = -1
    read_agent: int = -1
    read_visitor_at: int = 0
    read_agent_at: int = 0
    participants: tuple[Participant, ...] = ()

    def keep_ms(self, retention_ms: int) -> int:
        """Return how long it is kept from now on; 0 for as long as it is open."""
        return 0 if self.lasting and self.state != "closed" else retention_ms


_OWN: Final = ("account_sid", "sid", "participants")
_PARTICIPANT: Final = "participant "  # and its SID: a field of the record for each
_NUMBERS: Final = frozenset(name for name, each in Chat.__dataclass_fields__.items() if each.type in {int, "int"})
_FLAGS: Final = frozenset(name for name, each in Chat.__dataclass_fields__.items() if each.type in {bool, "bool"})


def _fields(values: Mapping[str, Any]) -> Iterator[str | int]:
    for name, value in values.items():
        yield name
        yield int(value) if isinstance(value, bool) else value


class Chats:
    """Reads and writes web chats."""

    def __init__(self, client: Client, *, retention_seconds: float) -> None:
        self._client = client
        self.retention_ms = int(retention_seconds * 1000)

    def begin(self, chat: Chat, *, visitor: str = "", resume: bool = False) -> tuple[str, str]:
        """Begin a chat; return `begun` and its SID, `resumed` and the visitor's, or `taken` and that of its name.

        `visitor` is a digest that stands for the browser, or for a signed identity; "" where none may resume it.
        """
        keys = AccountKeys(chat.account_sid)
        record = keys.own_chats + chat.sid
        values = {name: getattr(chat, name) for name in chat.__slots__ if name not in _OWN}
        reply = self._client.script(
            "chat_begin",
            [
                record,
                keys.chat_messages + chat.sid,
                keys.chats,
                keys.chat_names,
                keys.chat_identities + digest(chat.identity),
                keys.chat_visitors + visitor if visitor else record,
            ],
            [
                chat.sid,
                chat.keep_ms(self.retention_ms),
                chat.unique_name,
                self.retention_ms,
                int(resume),
                *_fields({name: value for name, value in values.items() if value not in {"", "{}"}}),
            ],
            writes=True,
        )
        return reply[0].decode(), reply[1].decode()

    def get(self, account_sid: str, sid: str) -> Chat | None:
        """Read a chat's record."""
        return _chat(account_sid, sid, self._client.call("HGETALL", AccountKeys(account_sid).own_chats + sid))

    def of_visitor(self, account_sid: str, visitor: str) -> Chat | None:
        """Read the open chat that a visitor goes on with; none whose visitor was removed from it."""
        sid = self._client.call("GET", AccountKeys(account_sid).chat_visitors + visitor)
        chat = self.get(account_sid, sid.decode()) if sid else None
        return chat if chat and chat.state != "closed" and chat.participant_sid else None

    def named(self, account_sid: str, unique_name: str) -> Chat | None:
        """Read the chat that has, or had last, a unique name."""
        sid = self._client.call("HGET", AccountKeys(account_sid).chat_names, unique_name)
        return self.get(account_sid, sid.decode()) if sid else None

    def of_identity(self, account_sid: str, identity: str) -> list[Chat]:
        """Read the chats of an identity, the newest first."""
        sids = self._client.call("SMEMBERS", AccountKeys(account_sid).chat_identities + digest(identity))
        found = self._get_all(account_sid, sorted(sids))
        return sorted(found, key=lambda chat: (-chat.created, chat.sid))

    def newest(self, account_sid: str, *, before: float | None = None) -> Iterator[tuple[float, Chat]]:
        """Walk the chats by their last activity, the newest first, each with that in ms; `before` is where to go on."""
        index, end = AccountKeys(account_sid).chats, "+inf" if before is None else f"({before:.0f}"
        while found := self._client.call(
            "ZRANGE", index, end, "-inf", "BYSCORE", "REV", "LIMIT", 0, _PAGE, "WITHSCORES"
        ):
            at = {sid.decode(): float(score) for sid, score in zip(found[::2], found[1::2], strict=True)}
            for chat in self._get_all(account_sid, found[::2]):
                yield at[chat.sid], chat
            end = f"({float(found[-1]):.0f}"

    def _get_all(self, account_sid: str, sids: Iterable[bytes]) -> Iterator[Chat]:
        names = [sid.decode() for sid in sids]
        prefix = AccountKeys(account_sid).own_chats
        replies = self._client.calls([("HGETALL", prefix + sid) for sid in names])
        for sid, reply in zip(names, replies, strict=True):
            if chat := _chat(account_sid, sid, reply):
                yield chat

    def look(
        self, account_sid: str, sid: str, which: Literal["after", "before", "last"], index: int = 0, most: int = 20
    ) -> Look | None:
        """Read a chat's state with its messages after or before an index, or the last ones; None for no such chat."""
        keys = AccountKeys(account_sid)
        reply = self._client.script(
            "chat_look",
            [keys.own_chats + sid, keys.chat_messages + sid],
            [which, max(-1, min(index, 2**53)), min(most, MESSAGES_MOST)],
        )
        if not reply:
            return None
        state, epoch, visitor, agent, closed_by, first, next_, start, *entries = reply
        messages = tuple((start + n, ChatMessage.read(each)) for n, each in enumerate(entries))
        return Look(
            state.decode(), epoch.decode(), int(visitor), int(agent), closed_by.decode(), first, next_, messages
        )

    def post(self, chat: Chat, message: ChatMessage) -> int:
        """Append a message of an agent; return its index, -1 where there is no such chat, -2 where it is closed."""
        return int(
            self._client.script(
                "chat_post", self._keys(chat)[:3], [chat.keep_ms(self.retention_ms), message.write()], writes=True
            )
        )

    def mirror(self, chat: Chat, message: ChatMessage) -> int:
        """Append a message that came from the chat's Conversation at Twilio; return as chat_mirror.lua."""
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
        """Change fields of a chat; return as chat_change.lua. `active` makes it an activity, which keeps the chat."""
        closing = values.get("state") == "closed"
        keep = self.retention_ms if closing else chat.keep_ms(self.retention_ms)
        return str(
            self._client.script(
                "chat_change",
                self._keys(chat),
                [keep, json.dumps(event) if event else "", int(revoke), int(active), *_fields(values)],
                writes=True,
            ).decode()
        )

    def put_participant(self, chat: Chat, participant: Participant, event: Mapping[str, Any] | None = None) -> str:
        """Write a participant; return as `change`."""
        written = json.dumps(asdict(participant), ensure_ascii=False)
        return self.change(chat, {_PARTICIPANT + participant.sid: written}, event=event, active=False)

    def remove_participant(self, chat: Chat, sid: str) -> str:
        """Remove a participant; the visitor, whose tokens count no more, or another one; return as `change`."""
        if sid == chat.participant_sid:
            return self.change(chat, {"participant_sid": ""}, revoke=True, active=False)
        return self.change(chat, {_PARTICIPANT + sid: ""}, active=False)

    def erase(self, chat: Chat) -> bool:
        """Erase a chat with its messages; return whether it was there. Its streams end."""
        keys = [*self._keys(chat), AccountKeys(chat.account_sid).chat_identities + digest(chat.identity)]
        return bool(self._client.script("chat_erase", keys, [chat.sid], writes=True))

    def tell(self, chat: Chat, event: Mapping[str, Any]) -> None:
        """Tell the chat's open streams of something that is not kept."""
        self._client.call(
            "PUBLISH", chat_channel(bucket(chat.account_sid)), f"{chat.account_sid}:{chat.sid} {json.dumps(event)}"
        )

    def limit(self, account_sid: str, counts: Sequence[tuple[str, int, int]]) -> float:
        """Count what a visitor does; return 0, or the seconds to wait where it is too much, and is not counted.

        `counts` has what is counted and for whom, how often that may be, and in how many seconds.
        """
        prefix = AccountKeys(account_sid).chat_limits
        args: list[Word] = [each for _, most, seconds in counts for each in (most, seconds * 1000)]
        wait: int = self._client.script("chat_limit", [prefix + what for what, _, _ in counts], args)
        return wait / 1000

    def keys(self) -> tuple[str, ...]:
        """Return the keys of visitors' tokens, the newest first."""
        found = self._client.script("chat_keys", [CHAT_KEYS], [secrets.token_hex(32), KEY_MS], writes=True)
        return tuple(each.decode().partition(" ")[2] for each in found)

    @staticmethod
    def _keys(chat: Chat) -> list[str]:
        keys = AccountKeys(chat.account_sid)
        return [keys.own_chats + chat.sid, keys.chat_messages + chat.sid, keys.chats, keys.chat_names]


def _chat(account_sid: str, sid: str, reply: Sequence[bytes]) -> Chat | None:
    if not reply:
        return None
    values: dict[str, Any] = {}
    participants = []
    for name, value in zip(reply[::2], reply[1::2], strict=True):
        key, text = name.decode(), value.decode()
        if key.startswith(_PARTICIPANT):
            participants.append(Participant(**json.loads(text)))
        elif key in _NUMBERS:
            values[key] = int(text)
        elif key in _FLAGS:
            values[key] = text == "1"
        elif key in Chat.__slots__:
            values[key] = text
    ordered = tuple(sorted(participants, key=lambda each: (each.created, each.sid)))
    return Chat(account_sid, sid, participants=ordered, **values)
