"""The arguments and results of the lanes' operations: leases, acceptances, settlements, claims."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message
from router.message.raw import Raw
from router.routing.contact import Known
from router.store.flow_write import parse_record
from router.store.script import Word
from router.value import value


@value
class Lease:
    """The right to send the head of a lane, with all that sending needs.

    `expires` is in monotonic seconds of this process. `age` is the message's age in seconds when the lease was granted,
    by the due clock and without pauses of its flow; `accepted_ago` includes the pauses. `content` is the parsed request
    if the process that accepted the message sends it; else `raw` is the packed one. `lost` is how often the process
    that handled it was lost: a worker, or the handlers' process.
    """

    token: str
    expires: float
    account_sid: str
    message_sid: str
    lane: str
    raw: bytes
    flow_sid: str
    flow: FlexFlow | None
    age: float
    attempts: int
    failures: int
    refusals: int
    round: int
    answered: bool
    language: str = ""
    content: tuple[Raw, Message] | None = None
    lost: int = 0
    accepted_ago: float = 0.0

    @property
    def id(self) -> str:
        """The message's id in lanes and indexes."""
        return f"{self.account_sid}:{self.message_sid}"

    def read(self) -> tuple[Raw, Message]:
        """Return the request and its message; raise ValueError or NotAMessage if the stored request is damaged."""
        if self.content is not None:
            return self.content
        raw = Raw.unpack(self.raw)
        return raw, Message.parse(raw.fields())


@value
class Acceptance:
    """The result of an `accept`.

    `head` is the state of the head of the message's lane: `sending` means that an attempt is under way.
    A `duplicate` has the state, stored answer and flow of the first message, or the state `expired` if only its SID is
    still known. With a choice, `flow_sid` and `language` are those of the message, and `kept` is whether the
    conversation kept its flow. A `stale` one has what is `known` about the contact if that may change the choice. The
    `refusal` of a `chat` one is why a web chat does not take the message: it is `gone`, `closed` or `revoked`, or its
    next message has another `index` (`moved`).
    """

    kind: Literal["leased", "accepted", "duplicate", "stale", "chat"]
    head: str = ""
    state: str = ""
    answer: bytes = b""
    answered: str = ""
    flow_sid: str = ""
    language: str = ""
    kept: bool = False
    moved: bool = False
    known: Known | None = None
    refusal: str = ""
    index: int = 0


@value
class Written:
    """A message that `accept` has written, with the token of that call."""

    token: str
    account_sid: str
    message_sid: str
    lane: str


Outcome: TypeAlias = Literal["delivered", "undelivered", "unrouted", "retry", "release"]


@value
class Settlement:
    """How an attempt ended, as delivery decided.

    `delay` is in seconds (retry and release); `fields` are written to the message with the outcome.
    """

    outcome: Outcome
    delay: float = 0.0
    fields: Mapping[str, Word] | None = None
    history: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """How much a process can send now.

    A head needs a slot. An account gets another slot while it has fewer than `factor` times the free slots, or none at
    all; a target gets one while it has fewer than the free slots, and fewer than its share. (router.delivery.slots)

    Args:
        free: how many slots are free; less than 0 if accounts got their first slot although all were taken.
        share: the share of a target that is not in `targets`.
        factor: as above; 0 if accounts are not limited.
        accounts: AccountSid -> how many slots it has.
        targets: "<AccountSid> <target>" -> how many slots it has, and may have.
        names: "<target>" -> how many more slots it may have over all accounts.
        shut: targets with an open breaker: "<AccountSid> <target>", or "<target>" for every account.

    """

    free: int
    share: int = 1_000_000
    factor: int = 0
    accounts: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    names: Mapping[str, int] = field(default_factory=dict)
    shut: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of a claim.

    `place` is the place in the index to continue from, 0 for its beginning; `left` is whether due lanes are left
    because there are too few slots, and not because a flow is paused or a breaker is open.
    """

    leases: list[Lease]
    place: int
    left: bool


def leased(  # noqa: PLR0913, PLR0917 - the values of the scripts' replies
    token: str, expires: float, now: int, flow_sid: str, flow: FlexFlow | None, entry: list[Any]
) -> Lease:
    """Make a lease from an entry of lane.lua; `now` is the due clock in ms."""
    id_, lane, raw, since, attempts, failures, refusals, round_, answered, language, lost, at = entry
    account_sid, _, message_sid = id_.decode().partition(":")
    return Lease(
        token=token,
        expires=expires,
        account_sid=account_sid,
        message_sid=message_sid,
        lane=lane.decode(),
        raw=raw,
        flow_sid=flow_sid,
        flow=flow,
        age=max(0.0, (now - since) / 1000),
        attempts=attempts,
        failures=failures,
        refusals=refusals,
        round=round_,
        answered=bool(answered),
        language=language.decode(),
        lost=lost,
        accepted_ago=max(0.0, (now - at) / 1000),
    )


def readable(record: bytes, account_sid: str, sid: str) -> FlexFlow | None:
    """Read a flow; None if its record is damaged, so that this does not block messages of other flows."""
    try:
        return parse_record(record, account_sid, sid)
    except (ValueError, TypeError, KeyError, IndexError):
        return None
