"""The stored values of a web chat: record, messages and participants. `router.store.chats` reads and writes them.

A new field is an attribute of `Chat`, `ChatMessage` or `Participant`; the scripts and chat_write.py need no change. Set
it in router/chat/session.py (a visitor's chat), router/chat/sending.py (messages) or router/web/conversations/ (REST);
router/chat/resource.py shows it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat.

    `side` is `visitor`, `agent` or `bot`; `date` and `updated` are in ms since 1970, `updated` is 0 for a message that
    was never changed; `attributes` is JSON; `client` is the id that the visitor's browser gave it.
    """

    sid: str
    author: str
    body: str = field(repr=False)
    date: int
    side: str
    client: str = ""
    attributes: str = "{}"
    participant_sid: str = ""
    updated: int = 0

    def write(self) -> str:
        """Return it as JSON, without empty fields."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(
            {name: value for name, value in own.items() if value not in {"", "{}", 0}},
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def read(cls, text: bytes) -> "ChatMessage":
        """Read a message that this version or a newer one wrote."""
        known = {name: value for name, value in json.loads(text).items() if name in cls.__slots__}
        return cls(**({"body": ""} | known))


@dataclass(frozen=True, slots=True)
class Look:
    """A chat's state, and some of its messages with their indexes, without removed ones.

    `first` is the index of the first message kept, `next` that of the next message. The indexes that were read are
    those from `start` to `end`, without `end`.
    """

    state: str
    epoch: str
    read_visitor: int
    read_agent: int
    closed_by: str
    first: int
    next: int
    start: int
    end: int
    messages: tuple[tuple[int, ChatMessage], ...] = field(repr=False)

    @property
    def shown_state(self) -> str:
        """The state shown to the visitor, for whom an inactive chat is the same as an active one."""
        return "closed" if self.state == "closed" else "active"


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant other than the visitor: an agent, or a bot. `read` is the index read last, -1 for none."""

    sid: str
    identity: str = field(repr=False)
    attributes: str = field(repr=False, default="{}")
    read: int = -1
    read_at: int = 0
    created: int = 0
    updated: int = 0


@dataclass(frozen=True, slots=True)
class Chat:
    """The record of a chat. Dates are in ms since 1970.

    `served` is the flow that got its last message. `untold` is set when it is closed, to its state before, until the
    integration has been notified (`router.chat.ending`).
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
        """Return how long it is kept from now on, in ms; 0 for as long as it is open."""
        return 0 if self.lasting and self.state != "closed" else retention_ms


_OWN: Final = ("account_sid", "sid", "participants")
PARTICIPANT: Final = "participant "  # + SID: the record's field for a participant
_NUMBERS: Final = frozenset(name for name, each in Chat.__dataclass_fields__.items() if each.type in {int, "int"})
_FLAGS: Final = frozenset(name for name, each in Chat.__dataclass_fields__.items() if each.type in {bool, "bool"})


def write_chat(chat: Chat) -> Iterator[str | int]:
    """Yield the names and values of a new chat's fields, without empty ones."""
    values = {name: getattr(chat, name) for name in chat.__slots__ if name not in _OWN}
    return write_fields({name: value for name, value in values.items() if value not in {"", "{}"}})


def write_fields(values: Mapping[str, Any]) -> Iterator[str | int]:
    """Yield the names and values of a record's fields."""
    for name, value in values.items():
        yield name
        yield int(value) if isinstance(value, bool) else value


def read_chat(account_sid: str, sid: str, reply: Sequence[bytes]) -> Chat | None:
    """Read a record that this version or a newer one wrote; None for an empty one."""
    if not reply:
        return None
    values: dict[str, Any] = {}
    participants = []
    for name, value in zip(reply[::2], reply[1::2], strict=True):
        key, text = name.decode(), value.decode()
        if key.startswith(PARTICIPANT):
            participants.append(_read_participant(text))
        elif key in _NUMBERS:
            values[key] = int(text)
        elif key in _FLAGS:
            values[key] = text == "1"
        elif key in Chat.__slots__:
            values[key] = text
    ordered = tuple(sorted(participants, key=lambda each: (each.created, each.sid)))
    return Chat(account_sid, sid, participants=ordered, **values)


def _read_participant(text: str) -> Participant:
    known = {name: value for name, value in json.loads(text).items() if name in Participant.__slots__}
    return Participant(**known)
