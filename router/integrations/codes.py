"""The meaning of Twilio's error codes for messages that the router delivers by REST.

https://www.twilio.com/docs/api/errors
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Codes that other modules check.
NAME_TAKEN: Final = 50353
PAIR_BOUND: Final = 50416
PAIRS_BOUND: Final = (PAIR_BOUND, 80102)
IDENTITY_TAKEN: Final = 50433

SENTENCES: Final[Mapping[int, str]] = MappingProxyType(
    {
        20001: "a parameter is not accepted: the flow's own JSON may be in a form that Twilio does not know",
        20003: "the account's auth token is not accepted, or the account is not active",
        20005: "the account is not active",
        20006: "the account has no access to this resource",
        20403: "the account has no access to this resource",
        20404: "Twilio has no such resource in this account: it was deleted, or its SID is of another account",
        20409: "it was changed at the same time",
        20412: "it was changed by another program at the same time",
        20422: "a parameter has a value that is not allowed",
        20423: "a SID is not valid",
        20429: "too many requests",
        20500: "an error at Twilio",
        20503: "Twilio is not available",
        45001: "an error of Flex at Twilio",
        45002: "Flex does not accept the account's auth token",
        45003: "the account has no right to use Flex in this way",
        45004: "Flex does not accept the Interaction: see Integration.Interaction of the flow",
        45005: "Flex is not available",
        45006: "Flex does not find what Integration.Interaction of the flow names",
        45007: "Flex reports a conflict: the conversation may have an Interaction already",
        45008: "Flex cannot process the Interaction: see Integration.Interaction of the flow",
        45009: "Flex is not configured for it",
        45010: "too many requests to Flex",
        50353: "another conversation has this unique name",
        50361: "the conversation has five webhooks already, the most that Twilio allows: remove one of them",
        50390: "a unique name may not look like a conversation's SID",
        50407: "the address is not valid for a participant",
        50416: "another conversation is bound to this pair of addresses",
        50430: "the participant is not in the conversation any more",
        50433: "this identity is in the conversation already",
        80102: "another conversation, active or inactive, is bound to this pair of addresses",
    }
)


def sentence(code: int, status: int) -> str:
    """Return what an error code means; for a code that is not in the table, what its HTTP status means."""
    known = SENTENCES.get(code)
    if known is None and status == 401:  # noqa: PLR2004
        known = SENTENCES[20003]
    elif known is None and status == 403:  # noqa: PLR2004
        known = SENTENCES[20403]
    elif known is None and status == 404:  # noqa: PLR2004
        known = SENTENCES[20404]
    return known or ""
