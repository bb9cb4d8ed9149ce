"""The contact: a customer's languages, and the flows that the customer's conversations are assigned to.

A conversation is between a contact and one of our addresses. It keeps its flow as long as it is not idle, unless a
message clearly belongs to another flow. `accept` decides this in the store, atomically with the message
(store/scripts/accept.lua). `keeps` is the same rule for explanations, which change nothing; a test compares the two in
every case (tests/store/test_contacts.py).
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
    """How strong the evidence is that a message's conversation belongs to the chosen flow."""

    SILENT = 0  # no evidence: the conversation keeps its flow
    DECIDED = 1  # moves a conversation whose flow was not chosen confidently
    CLEAR = 2  # moves a conversation that was confidently assigned, but in another language
    OUTRIGHT = 3  # moves any conversation


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about a contact's languages.

    `version` changes with every other value, "" for an unknown contact. The contact chose `preference`, the operator
    set `language`; `learned` are the shares of each language in the contact's messages so far.
    """

    version: str = ""
    preference: str = ""
    language: str = ""
    learned: Mapping[str, float] = field(default_factory=lambda: _NOTHING)


NOTHING_KNOWN: Final = Known()


@dataclass(frozen=True, slots=True)
class Assignment:
    """The flow that a conversation stays with.

    `confident`: the flow was chosen with such certainty that only an explicit message moves the conversation. `at` is
    the time of the last message, in ms since 1970.
    """

    flow_sid: str
    confident: bool
    at: int
    language: str = ""

    def is_active(self, idle_since: int, *, lasting: bool) -> bool:
        """Return whether the conversation is active: its last message is not older than `idle_since`, in ms."""
        return lasting or self.at >= idle_since


@dataclass(frozen=True, slots=True)
class Candidate:
    """A flow that a conversation may stay with.

    `disposition` is `queue` or `redirected`. `lasting`: the conversation stays without a limit of idle time.
    """

    flow_sid: str
    disposition: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Migration:
    """The migration from the chosen flow to another flow of its address, contact by contact.

    Args:
        from_: the chosen flow, whose MigrateTo is `to`.
        to: the flow that takes over.
        share: whether the contact is among the MigratePercent.
        drain: whether contacts that already have the flow move too; else only new and idle contacts do.
        proxy: whether contacts stay if they are, or may be, in a Proxy session.
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
    """The decision of `resolve` for one message to an address whose flows have conditions; `accept` may overrule it.

    Args:
        identities: the canonical addresses of the contact in the message, the one it was sent from first.
        ours: the address that the customer wrote to.
        language: the language of the message, "" if undecided.
        strength: how strong the evidence is against the flow that the conversation has.
        confident: whether the conversation is assigned confidently.
        candidates: the flows that the conversation may stay with.
        known: the version of the contact's languages on which the choice is based.
        settled: whether the contact's languages cannot change the choice.
        learned: the shares of each language including this message, empty if it gives no evidence; kept only if the
            conversation does not stay as it is.
        preference: the language that the contact chose with this message.
        transient: whether this message does not change the assignment of its conversation; with a preference the
            assignment ends, so that the next message is routed by the preference.
        migration: the migration of the chosen flow, if any.

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
    """Return the flow that a contact moves to with this message, by the rule of accept.lua; "" if it does not move.

    `may_move`: the contact is in no Proxy session, and none of its messages is being delivered.
    """
    move = choice.migration
    if move is None or not move.share or not may_move or choice.transient:
        return ""
    if keeps(assignment, choice, now=now, sticky_hours=sticky_hours):
        return move.to if move.drain and assignment and assignment.flow_sid == move.from_ else ""
    return move.to


def keeps(assignment: Assignment | None, choice: Choice, *, now: int, sticky_hours: float) -> bool:
    """Return whether a conversation stays with its flow, by the rule of accept.lua; `now` is in ms since 1970."""
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
    """Return the id of a canonical address: 24 hex digits, because keys must not contain phone numbers."""
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def identities_of(message: Message) -> tuple[str, ...]:
    """Return the addresses of a message's sender in their canonical form, the one it was sent from first.

    WhatsApp identifies a sender by phone number, by business-scoped user id, or by both; a parent business has its own
    id for the sender.
    """
    own = canonical(message.from_, message.channel)
    if message.channel != "whatsapp":
        return (own,)
    user_ids = (message.external_user_id, message.params.get("ParentExternalUserId", ""))
    others = [canonical(each, "whatsapp") for each in user_ids if _USER_ID.fullmatch(each)]
    if _WA_ID.fullmatch(message.wa_id):
        others.append(canonical(f"+{message.wa_id}", "whatsapp"))
    return tuple(dict.fromkeys((own, *others)))
