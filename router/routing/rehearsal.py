"""Rehearsal: computes the routes of past messages by another set of flows, with conversations; changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from router.flow.flex_flow import FlexFlow
from router.message.inbound import Message
from router.routing.contact import NOTHING_KNOWN, Assignment, Choice, Known, identities_of
from router.routing.resolve import Circumstance, Entry, Likelihood, Route, identities, preview


@dataclass(slots=True)
class _Contact:
    """One contact in a rehearsal: `identity` is its first address, `names` are all its addresses."""

    identity: str
    names: set[str] = field(default_factory=set)
    known: Known = NOTHING_KNOWN
    assignments: dict[str, Assignment] = field(default_factory=dict)


class Rehearsal:
    """A set of flows, and the conversations of the messages routed so far, as `accept` would keep them.

    Args:
        flows: the flows of one account.
        likelihood: returns how well a text fits languages.
        sticky_hours: how long a conversation may be idle.

    """

    def __init__(self, flows: Iterable[FlexFlow], likelihood: Likelihood, sticky_hours: float) -> None:
        self._flows: dict[str, list[FlexFlow]] = {}
        for flow in flows:
            self._flows.setdefault(flow.contact_identity, []).append(flow)
        self._likelihood = likelihood
        self._sticky_hours = sticky_hours
        self._contacts: dict[str, _Contact] = {}

    def take(self, message: Message, *, at: int, lang: str = "") -> Route:
        """Return the route of a message received at `at`, in ms since 1970; call it in the order of the messages."""
        entries = [Entry(name, "", tuple(self._flows.get(name, ()))) for name in identities(message)]
        circumstance = Circumstance(at / 1000, lang=lang, likelihood=self._likelihood)
        names = identities_of(message)
        contact = next((found for name in names if (found := self._contacts.get(name))), None) or _Contact(names[0])
        assignment = contact.assignments.get(message.contact_identity)
        route, kept = preview(
            message, entries, circumstance, known=contact.known, assignment=assignment, sticky_hours=self._sticky_hours
        )
        if route.choice is not None and (route.choice.preference or not route.choice.transient):
            _learn(contact, route, route.choice, assignment if kept else None, at)
            for name in names:
                self._link(contact, name)
        return route

    def _link(self, contact: _Contact, name: str) -> None:
        """Add an address to a contact, and merge the contact that has it already, as store/scripts/contact_link.lua."""
        other = self._contacts.setdefault(name, contact)
        if other is contact:
            contact.names.add(name)
        if other is contact or other.identity != name:
            return
        contact.assignments = other.assignments | contact.assignments
        known, more = contact.known, other.known
        contact.known = Known(
            "known",
            known.preference or more.preference,
            known.language or more.language,
            known.learned or more.learned,
        )
        contact.names |= other.names
        self._contacts |= dict.fromkeys(other.names, contact)


def _learn(contact: _Contact, route: Route, choice: Choice, kept: Assignment | None, at: int) -> None:
    """Update a contact as store/scripts/accept.lua does."""
    if choice.transient:
        contact.assignments.pop(choice.ours, None)
    elif route.flow is not None:
        contact.assignments[choice.ours] = Assignment(
            route.flow.sid, kept.confident if kept else choice.confident, at, route.language
        )
    learned = {} if kept or choice.transient else choice.learned
    if learned or choice.preference:
        known = contact.known
        contact.known = Known("known", choice.preference or known.preference, known.language, learned or known.learned)
