"""Erases a contact on request: its data, and the content of its messages.

Pending messages are delivered first, because an acknowledged message is never lost. Until then the contact is kept as
well: it lists the person's other addresses, which the next call needs.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from router.message.address import channel_of
from router.message.channel import WEB
from router.message.inbound import Message
from router.routing.contact import identities_of
from router.store import Store
from router.store.chat_record import Chat
from router.store.deliveries import PAGE, Delivery

# The process yields after so many messages: they take 0.2 ms, and 5 ms if each has 128 KiB.
_BREAK: Final = 10


@dataclass(frozen=True, slots=True)
class Erasure:
    """The result: whether the contact was erased, its addresses, the number of messages; `waiting` are pending."""

    contact: bool
    identities: frozenset[str]
    messages: int
    waiting: int

    @property
    def found(self) -> bool:
        """Whether there was any data."""
        return self.contact or bool(self.messages or self.waiting)


def erase(
    identity: str,
    account_sid: str,
    store: Store,
    *,
    watch: Callable[[Iterable[Delivery]], Iterable[Delivery]] = iter,
) -> Erasure:
    """Erase a contact, and the content and sender of its completed messages; may be repeated safely.

    All stored messages are read, a page at a time. Further addresses of the same person, from the contact or its
    messages, are included; when a message has a new one, all messages are read again. All of the account's records of
    refused requests are removed.

    Args:
        identity: one of the contact's addresses, in canonical form.
        account_sid: the account of the contact.
        store: the store.
        watch: wraps the iteration over the messages, to show the progress.

    Raises StoreUnavailable, possibly after a part has been erased.
    """
    person: set[str] = set()
    lanes: set[str] = set()
    _add(person, (identity,), account_sid, store)
    erased: set[str] = set()
    waiting: set[str] = set()
    read = 0
    while len(person) > read:
        read = len(person)
        for sids in _pages(_theirs(person, lanes, watch(store.deliveries.newest(account_sid)), store)):
            for sid, gone in zip(sids, store.deliveries.erase(account_sid, sids), strict=True):
                (erased if gone else waiting).add(sid)
        waiting -= erased
    store.refusals.forget(account_sid)  # they may contain messages of this person, and only `router doctor` needs them
    if not waiting:
        store.bindings.forget(account_sid, lanes)
    contacts = [] if waiting else [store.contacts.erase(account_sid, each) for each in person]
    chats = [] if waiting else [store.chats.erase(each) for each in _chats(person, account_sid, store)]
    return Erasure(any(contacts) or any(chats), frozenset(person), len(erased), len(waiting))


def _theirs(person: set[str], lanes: set[str], deliveries: Iterable[Delivery], store: Store) -> Iterator[str]:
    """Yield the messages that a person sent; add further addresses found in them to `person`, and their `lanes`."""
    for number, delivery in enumerate(deliveries):
        if number % _BREAK == 0:
            time.sleep(0)
        if not delivery.raw:
            continue
        message = Message.unpack(delivery.raw)
        named = identities_of(message)
        if not person.isdisjoint(named):
            _add(person, named, delivery.account_sid, store)
            lanes.add(delivery.lane)
            yield delivery.message_sid


def _chats(person: Iterable[str], account_sid: str, store: Store) -> Iterator[Chat]:
    """Iterate over the web chats of a person as a visitor, without those in which an agent of this name takes part."""
    for each in person:
        if channel_of(each) == WEB:
            identity = each.removeprefix(f"{WEB}:")
            found = store.chats.of_identity(account_sid, identity)
            yield from (chat for chat in found if chat.identity == identity)


def _add(person: set[str], identities: Iterable[str], account_sid: str, store: Store) -> None:
    """Add addresses, with all addresses of their contacts."""
    for each in identities:
        if each not in person:
            person.add(each)
            contact = store.contacts.get(account_sid, each)
            person.update((contact.identity, *contact.aliases) if contact else ())


def _pages(sids: Iterator[str]) -> Iterator[list[str]]:
    page: list[str] = []
    for sid in sids:
        page.append(sid)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
