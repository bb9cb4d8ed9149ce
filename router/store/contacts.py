"""Contacts in Redis: the data that `accept` collects, and the operator's settings. contact_link.lua has the keys."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.routing.contact import NOTHING_KNOWN, Assignment, Known, contact_id
from router.store.client import Client
from router.store.keys import AccountKeys

# Closes the conversations with all of our addresses.
ALL: Final = "*"


@dataclass(frozen=True, slots=True)
class Contact:
    """A stored contact: addresses in canonical form, the first known one first; `stays` by our address."""

    account_sid: str
    identity: str
    aliases: tuple[str, ...]
    known: Known
    assignments: Mapping[str, Assignment]
    lasting: bool


class Contacts:
    """Reads and changes contacts.

    `sticky_hours` is how long a conversation may be idle; `keep_seconds` is how long a contact without explicit
    settings is kept.
    """

    def __init__(self, client: Client, *, sticky_hours: float, keep_seconds: float) -> None:
        self._client = client
        self.sticky_hours = sticky_hours
        self._keep_ms = int(keep_seconds * 1000)

    def get(self, account_sid: str, identity: str) -> Contact | None:
        """Read the contact that an address belongs to; None for an unknown address."""
        prefix = AccountKeys(account_sid).contacts
        fields = self._read(prefix + contact_id(identity))
        if b"of" in fields:
            fields = self._read(prefix + fields[b"of"].decode())
        return _contact(account_sid, fields) if fields else None

    def first(self, account_sid: str, identities: Sequence[str]) -> Contact | None:
        """Read the contact that `accept` would find by the addresses in a message."""
        return next((contact for each in identities if (contact := self.get(account_sid, each))), None)

    def change(  # noqa: PLR0913 - what may be changed, by keyword
        self,
        account_sid: str,
        identity: str,
        *,
        version: str,
        preference: str | None = None,
        language: str | None = None,
        aliases: Sequence[str] = (),
        close: str = "",
        assignment: tuple[str, str, str] | None = None,
        lasting: bool = False,
    ) -> bool:
        """Change a contact atomically; False if it does not exist and there is nothing to set.

        Args:
            account_sid: the account.
            identity: one of the contact's addresses, in canonical form.
            version: a random value, the new version of the contact.
            preference: the language that the contact chose, "" to remove it; None to leave it.
            language: the language that the operator set for the contact; "" and None as above.
            aliases: further addresses of the same person.
            close: our address whose conversation with the contact ends, `ALL` for all conversations.
            assignment: our address, the flow to assign to the conversation, and its language.
            lasting: whether the contact is kept until it is erased, as it always is if a language is set.

        """
        prefix = AccountKeys(account_sid).contacts
        identities = list(dict.fromkeys((identity, *aliases)))
        set_ = {"preference": preference, "language": language, "stay": assignment}
        change: dict[str, Any] = {name: value for name, value in set_.items() if value is not None}
        change |= {"identities": identities, "close": close, "lasting": lasting, "keep": self._keep_ms}
        keys = [prefix + contact_id(each) for each in identities]
        return bool(self._client.script("contact", keys, [version, json.dumps(change)]))

    def erase(self, account_sid: str, identity: str) -> Contact | None:
        """Erase a contact and its aliases; return the erased contact, None if it did not exist."""
        reply = self._client.script("erase_contact", [AccountKeys(account_sid).contacts + contact_id(identity)], [])
        return _contact(account_sid, _pairs(reply)) if reply else None

    def _read(self, key: str) -> dict[bytes, bytes]:
        return _pairs(self._client.call("HGETALL", key))


def read_known(values: Sequence[bytes | None]) -> Known:
    """Read version, preference, language and learned, as the scripts return them."""
    version, preference, language, learned = ((value or b"").decode() for value in values)
    if not version:
        return NOTHING_KNOWN
    return Known(version, preference, language, json.loads(learned) if learned else {})


def _pairs(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _contact(account_sid: str, fields: Mapping[bytes, bytes]) -> Contact:
    assignments = {}
    for name, value in fields.items():
        kind, _, ours = name.decode().partition(" ")
        if kind == "stay":
            flow_sid, confident, at, language = value.decode().split(" ", 3)
            assignments[ours] = Assignment(flow_sid, confident == "1", int(at), language)
    return Contact(
        account_sid=account_sid,
        identity=fields.get(b"identity", b"").decode(),
        aliases=tuple(sorted(value.decode() for name, value in fields.items() if name.startswith(b"alias "))),
        known=read_known([fields.get(name) for name in (b"version", b"preference", b"language", b"learned")]),
        assignments=assignments,
        lasting=b"lasting" in fields,
    )
