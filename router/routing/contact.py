"""The contact: who writes to us, which languages they use, and which flow each of their conversations is assigned to.

A conversation, between a contact and one of our addresses, keeps the flow that took it for as long as it is not idle,
unless a message says explicitly that it belongs elsewhere. `accept` decides that, in the store and in one step with the
message (store/scripts/accept.lua). `keeps` is the same rule for explanations, which change nothing; a test of the store
compares the two in every case (tests/store/test_contacts.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from router.message.address import canonical
from router.message.inbound import Message

_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})

# A business-scoped user id has 140 characters at most, its prefix included; a parent business's begins `US.ENT.`:
# https://www.twilio.com/docs/messaging/guides/webhook-request
_USER_ID: Final = re.compile(r"(?i:whatsapp:)?[A-Z]{2}\.[A-Za-z0-9.]{1,128}", re.ASCII)
_WA_ID: Final = re.compile(r"[0-9]{3,20}", re.ASCII)


class Strength(IntEnum):
    """How much a message says about where its conversation belongs."""

    SILENT = 0  # nothing: it goes where the conversation is
    DECIDED = 1  # enough for a conversation that no flow has for sure
    CLEAR = 2  # enough for one that is for sure in another language
    OUTRIGHT = 3  # enough to move any conversation


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a contact's languages.

    `version` changes with the rest, "" for an unknown contact. `preference` was chosen by the contact, `language`
    set by the operator; `learned` are the shares of each language, by what the contact wrote so far.
    """

    version: str = ""
    preference: str = ""
    language: str = ""
    learned: Mapping[str, float] = field(default_factory=lambda: _NOTHING)


NOBODY: Final = Known()


@dataclass(frozen=True, slots=True)
class Assignment:
    """The flow that a conversation stays with.

    `confident` says whether the flow was chosen with enough certainty that only an explicit message moves the
    conversation; `at` is when the last message came, in ms since 1970.
    """

    flow_sid: str
    confident: bool
    at: int
    language: str = ""

    def is_active(self, idle_since: int, *, lasting: bool) -> bool:
        """Say whether the conversation goes on: whether its last message is not older than `idle_since`, in ms."""
        return lasting or self.at >= idle_since


@dataclass(frozen=True, slots=True)
class Candidate:
    """A flow that a conversation may stay with.

    `disposition` is what becomes of a message that it takes: `queue` or `redirected`. `lasting`: however long idle.
    """

    flow_sid: str
    disposition: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Migration:
    """The flow that was chosen gives way to another one of its address, contact by contact.

    Args:
        from_: the flow that was chosen, whose MigrateTo is `to`.
        to: the flow that takes over.
        share: whether the contact is among the MigratePercent.
        drain: whether contacts move that have the flow already; else only new and idle ones.
        proxy: whether contacts in a session of Proxy stay, and those of whom that is not known.
        service: the Proxy service, "" for the account's own.

    """

    from_: str
    to: str
    share: bool
    drain: bool
    proxy: bool
    service: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What `resolve` made of one message for an address whose flows have conditions, for `accept` to weigh.

    Args:
        identities: the contact's addresses that the message names, the one it was sent from first; canonical.
        ours: the address written to.
        language: of the message, "" where undecided.
        strength: of the choice against a flow that the conversation has.
        confident: whether a conversation keeps what was chosen.
        candidates: the flows that it may stay with.
        known: the version of what the choice took for known of the contact.
        settled: whether nothing that is known of the contact would change the choice.
        learned: the shares of each language with this message, nothing where it says nothing; kept only where the
            conversation does not stay as it is, which those shares did not decide.
        preference: the language that the contact chose with this message.
        transient: whether the conversation stays as it is, whatever becomes of this message; with a preference it ends,
            and the next message is decided by that.
        migration: where the chosen flow gives way to another one.

    """

    identities: tuple[str, ...]
    ours: str
    language: str
    strength: Strength
    confident: bool
    candidates: tuple[Candidate, ...]
    known: str = ""
    settled: bool = False
    learned: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    preference: str = ""
    transient: bool = False
    migration: Migration | None = None


def moves(assignment: Assignment | None, choice: Choice, *, now: int, sticky_hours: float, may_move: bool) -> str:
    """Return the flow that a contact moves to with this message, as accept.lua decides it; "" when it does not.

    `may_move` says that the contact is in no Proxy session, and that none of its messages is on the way.
    """
    move = choice.migration
    if move is None or not move.share or not may_move or choice.transient:
        return ""
    if keeps(assignment, choice, now=now, sticky_hours=sticky_hours):
        return move.to if move.drain and assignment and assignment.flow_sid == move.from_ else ""
    return move.to


def keeps(assignment: Assignment | None, choice: Choice, *, now: int, sticky_hours: float) -> bool:
    """Say whether a conversation stays with its flow, as accept.lua decides it; `now` is in ms since 1970."""
    if assignment is None:
        return False
    candidate = next((each for each in choice.candidates if each.flow_sid == assignment.flow_sid), None)
    idle_since = now - int(sticky_hours * 3_600_000)
    if candidate is None or not assignment.is_active(idle_since, lasting=candidate.lasting):
        return False
    if choice.migration and assignment.flow_sid in {choice.migration.from_, choice.migration.to}:
        return True
    if not assignment.confident:
        return choice.strength < Strength.DECIDED
    another = assignment.language not in {"", choice.language}
    return choice.strength < (Strength.CLEAR if another else Strength.OUTRIGHT)


def contact_id(identity: str) -> str:
    """Return the id of an address in its canonical form: 24 hex digits, so that no key has a phone number in it."""
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def identities_of(message: Message) -> tuple[str, ...]:
    """Return the addresses of a message's sender in their canonical form, the one it was sent from first.

    WhatsApp names a sender by phone number, by business-scoped user id, or by both; a parent business has another one.
    """
    own = canonical(message.from_, message.channel)
    if message.channel != "whatsapp":
        return (own,)
    user_ids = (message.external_user_id, message.params.get("ParentExternalUserId", ""))
    others = [canonical(each, "whatsapp") for each in user_ids if _USER_ID.fullmatch(each)]
    if _WA_ID.fullmatch(message.wa_id):
        others.append(canonical(f"+{message.wa_id}", "whatsapp"))
    return tuple(dict.fromkeys((own, *others)))
