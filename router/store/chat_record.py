"""What is kept of a web chat: its record, its messages and who takes part. `router.store.chats` reads and writes them.

A new field is an attribute of `Chat`, `ChatMessage` or `Participant`; the scripts and chat_write.py pass it through. It
is filled in router/chat/session.py (a visitor's chat), router/chat/sending.py (messages) or router/web/conversations/
(REST), and shown by router/chat/resource.py.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from router.value import frozen


@frozen
class ChatMessage:
    """One message of a chat, as its list has it.

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
        """Return it as JSON, without what is empty."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(
            {name: value for name, value in own.items() if value not in {"", "{}", 0}},
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def read(cls, text: bytes) -> "ChatMessage":
        """Read what `write` wrote, of this version or of a newer one."""
        known = {name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__}
        return cls(**({"body": ""} | known))


@frozen
class Look:
    """A chat's state, and some of its messages with their indexes; removed messages are not among them.

    `first` is the index of the first message that is kept, `next` that of the next one to come. What was looked at
    begins at the index `start`, and `end` is the index after it.
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
        """The state for the visitor, who may write into an inactive chat as into an active one."""
        return "closed" if self.state == "closed" else "active"


@frozen
class Participant:
    """One who takes part beside the visitor: an agent, or a bot. `read` is an index, -1 for none."""

    sid: str
    identity: str = field(repr=False)
    attributes: str = field(repr=False, default="{}")
    read: int = -1
    read_at: int = 0
    created: int = 0
    updated: int = 0


@frozen
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
PARTICIPANT: Final = "participant "  # and its SID: a field of the record for each
_NUMBERS: Final = frozenset(name for name, each in Chat.__dataclass_fields__.items() if each.type in {int, "int"})
_FLAGS: Final = frozenset(name for name, each in Chat.__dataclass_fields__.items() if each.type in {bool, "bool"})


def write_chat(chat: Chat) -> Iterator[str | int]:
    """Yield the fields of a new chat's record and their values, without those that are empty."""
    values = {name: getattr(chat, name) for name in chat.__dataclass_fields__ if name not in _OWN}
    return write_fields({name: value for name, value in values.items() if value not in {"", "{}"}})


def write_fields(values: Mapping[str, Any]) -> Iterator[str | int]:
    """Yield fields of a record and their values."""
    for name, value in values.items():
        yield name
        yield int(value) if isinstance(value, bool) else value


def read_chat(account_sid: str, sid: str, reply: Sequence[bytes]) -> Chat | None:
    """Read a record as the store returns it, of this version or of a newer one; None for an empty one."""
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
        elif key in Chat.__dataclass_fields__:
            values[key] = text
    ordered = tuple(sorted(participants, key=lambda each: (each.created, each.sid)))
    return Chat(account_sid, sid, participants=ordered, **values)


def _read_participant(text: str) -> Participant:
    known = {name: value for name, value in json.loads(text).items() if name in Participant.__dataclass_fields__}
    return Participant(**known)
