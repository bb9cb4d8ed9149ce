"""A contact as JSON, with the state of its conversations."""

from typing import Any

from router.flow.flex_flow import FlexFlow
from router.iso_time import utc
from router.queries.why_not import misfit
from router.routing.contact import Assignment
from router.store import Store
from router.store.contacts import Contact


def describe(contact: Contact, store: Store, *, now: float) -> dict[str, Any]:
    """Return a contact for JSON, without its URL; `now` is in seconds since 1970."""
    known = contact.known
    latest = sorted(contact.assignments.items(), key=lambda pair: pair[1].at, reverse=True)
    since = int((now - store.contacts.sticky_hours * 3600) * 1000)
    return {
        "account_sid": contact.account_sid,
        "identity": contact.identity,
        "aliases": list(contact.aliases),
        "language": known.language or None,
        "preference": known.preference or None,
        "learned": {tag: round(share, 3) for tag, share in known.learned.items()} or None,
        "conversations": [
            {
                "address": ours,
                "flex_flow_sid": assignment.flow_sid,
                "language": assignment.language or None,
                "confident": assignment.confident,
                "status": _status(
                    ours, assignment, store.flows.get(contact.account_sid, assignment.flow_sid), store, since
                ),
                "date_updated": utc(assignment.at),
            }
            for ours, assignment in latest
        ],
    }


def _status(ours: str, assignment: Assignment, flow: FlexFlow | None, store: Store, since: int) -> str:
    """Return the state of a conversation, with Twilio's names; it is idle if its last message is before `since`.

    https://www.twilio.com/docs/conversations/api/conversation-resource
    """
    active = flow is not None and assignment.is_active(since, lasting=flow.is_lasting) and not misfit(flow, ours, store)
    return "active" if active else "inactive"
