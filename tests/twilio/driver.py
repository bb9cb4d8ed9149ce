"""Sends messages to a local Twilio with new senders for each attempt, as after a crash, and with a shared memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from router.errors import StoreUnavailable
from router.flow.flex_flow import FlexFlow
from router.integrations import build
from router.integrations.base import Attempt, AttemptError
from router.settings import Settings
from tests.integrations.sending import MESSAGE_SID, attempt, message_of
from tests.twilio.local import LocalTwilio

LANE = "0123456789abcdef01234567"


@dataclass
class Kept:
    """Stands for the store's bindings; writes whose numbers are in `failing` fail."""

    found: dict[str, dict[str, str]] = field(default_factory=dict)
    failing: set[int] = field(default_factory=set)
    writes: int = 0

    def get(self, account_sid: str, lane: str) -> dict[str, str]:
        """Return the bindings of a conversation."""
        return dict(self.found.get(account_sid + lane, {}))

    def put(self, account_sid: str, lane: str, known: Mapping[str, str]) -> None:
        """Replace the bindings of a conversation."""
        self.writes += 1
        if self.writes - 1 in self.failing:
            raise StoreUnavailable("no answer")
        self.found[account_sid + lane] = dict(known)


@dataclass
class Driver:
    """Makes attempts at delivery, with the local Twilio and the bindings that the senders share."""

    twilio: LocalTwilio
    made: Settings
    kept: Kept = field(default_factory=Kept)
    messages: int = 0
    notes: list[str] = field(default_factory=list)

    def attempt(self, to: FlexFlow, body: str = "Hola", *, sid: str = "", **changes: Any) -> Attempt:
        """Return an attempt for a message, by default a new one."""
        self.messages += 1
        sid = sid or f"SM{self.messages:032x}"
        raw = message_of(body)
        written = raw.body.replace(MESSAGE_SID.encode(), sid.encode())
        raw = type(raw)(raw.method, raw.content_type, written, raw.cookie, raw.idempotency_token)
        return attempt(self.made, to, raw, lane=LANE, **changes)

    def of_chat(self, to: FlexFlow, body: str = "Hola", *, chat: str = "c") -> Attempt:
        """Return an attempt for a message of a web chat's visitor."""
        given = self.attempt(to, body)
        params = {**given.message.params, "ConversationSid": "CH" + chat * 32, "ClientIdentity": "visitor"}
        sid = f"IM{given.message.message_sid[2:]}"
        return replace(given, message=replace(given.message, channel="web", params=params, message_sid=sid))

    def send(self, given: Attempt) -> str:
        """Carry out an attempt with new senders, as after a crash; return its note."""
        senders = build(self.made, {}, memory=self.kept)
        try:
            return senders.send(given).note
        finally:
            senders.close()

    def persist(self, given: Attempt, *, times: int = 4) -> list[AttemptError]:
        """Repeat an attempt as delivery does until it succeeds; return the failures."""
        failures = []
        for number in range(given.number, given.number + times):
            try:
                self.notes.append(self.send(replace(given, number=number)))
            except AttemptError as error:
                failures.append(error)
            else:
                return failures
        raise AssertionError(f"not delivered after {times} attempts: {failures}")

    def clear(self) -> None:
        """Delete all bindings, conversations and requests."""
        self.kept.found.clear()
        self.twilio.clear()

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The attributes of all tasks."""
        return [json.loads(each["attributes"]) for each in self.twilio.tasks.tasks.values()]
