"""Erase a contact on request: what is known of it, and what its messages said.

A message that is not done yet is delivered first: what was acknowledged is not lost. Until then the contact stays, too,
for it knows by which other addresses the person wrote, and the next try begins with it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from router.message.inbound import Message, Raw
from router.routing.contact import identities_of
from router.store import Store
from router.store.deliveries import PAGE, Delivery

# After so many messages the process turns to its other work: they take 0.2 ms, and 5 ms where each is of 128 KiB.
_BREAK: Final = 10


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased: whether the contact, with these addresses, and how many messages; `waiting` are not done yet."""

    contact: bool
    identities: frozenset[str]
    messages: int
    waiting: int

    @property
    def found(self) -> bool:
        """Say whether there was anything."""
        return self.contact or bool(self.messages or self.waiting)


def erase(
    identity: str,
    account_sid: str,
    store: Store,
    *,
    watch: Callable[[Iterable[Delivery]], Iterable[Delivery]] = iter,
) -> Erasure:
    """Erase a contact, and of its messages that are done what was said in them and by whom; to do it again is safe.

    All messages on record are read, a page at a time. Addresses that the contact or its messages name as the same
    person's count as asked for; where a message names a new one, all are read once more. The account's records of
    refused requests go as a whole.

    Args:
        identity: one of the contact's addresses, in canonical form.
        account_sid: whose contact.
        store: where it is kept.
        watch: is given the messages before they are looked at, to show how far it is.

    Raises StoreUnavailable on the way: what was erased stays so.
    """
    person: set[str] = set()
    _add(person, (identity,), account_sid, store)
    erased: set[str] = set()
    waiting: set[str] = set()
    read = 0
    while len(person) > read:
        read = len(person)
        for sids in _pages(_theirs(person, watch(store.deliveries.newest(account_sid)), store)):
            for sid, gone in zip(sids, store.deliveries.erase(account_sid, sids), strict=True):
                (erased if gone else waiting).add(sid)
        waiting -= erased
    store.refusals.forget(account_sid)  # they may hold messages of this person, and only the doctor reads them
    contacts = [] if waiting else [store.contacts.erase(account_sid, each) for each in person]
    return Erasure(any(contacts), frozenset(person), len(erased), len(waiting))


def _theirs(person: set[str], deliveries: Iterable[Delivery], store: Store) -> Iterator[str]:
    """Walk the messages that a person sent; `person` gains the further addresses that they name."""
    for number, delivery in enumerate(deliveries):
        if number % _BREAK == 0:
            time.sleep(0)
        if not delivery.raw:
            continue
        message = Message.parse(Raw.unpack(delivery.raw).fields())
        named = identities_of(message)
        if not person.isdisjoint(named):
            _add(person, named, delivery.account_sid, store)
            yield delivery.message_sid


def _add(person: set[str], identities: Iterable[str], account_sid: str, store: Store) -> None:
    """Add addresses, with those that the contact of each is known by."""
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
