"""The resource at Twilio of each conversation: its open task, or the Conversation that it is bound to.

Only the holder of a conversation's lease reads and writes it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from router.store.client import Client
from router.store.keys import AccountKeys

# A binding expires this long after the last message. Then the resource is searched for at Twilio.
KEEP_SECONDS: Final = 30 * 86_400


class Bindings:
    """A few text values for each conversation, by its lane."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, account_sid: str, lane: str) -> dict[str, str]:
        """Return the values that are stored for a conversation, perhaps {}."""
        found = self._client.call("GET", AccountKeys(account_sid).bindings + lane)
        return dict(json.loads(found)) if found else {}

    def put(self, account_sid: str, lane: str, known: Mapping[str, str]) -> None:
        """Replace the values of a conversation."""
        written = json.dumps(known, separators=(",", ":"))
        self._client.call("SET", AccountKeys(account_sid).bindings + lane, written, "EX", KEEP_SECONDS)

    def forget(self, account_sid: str, lanes: Iterable[str]) -> None:
        """Remove the values of conversations."""
        keys = [AccountKeys(account_sid).bindings + lane for lane in lanes]
        if keys:
            self._client.call("UNLINK", *keys)
