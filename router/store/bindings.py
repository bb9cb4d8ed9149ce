"""What conversations have at Twilio: their open task, or the Conversation that they are bound to.

Only the holder of a conversation's lease reads and writes it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from router.store.client import Client
from router.store.keys import AccountKeys

# After so many seconds without a message it is looked for at Twilio.
KEEP_SECONDS: Final = 30 * 86_400


class Bindings:
    """A few short texts for each conversation, by its lane."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, account_sid: str, lane: str) -> dict[str, str]:
        """Return what is kept of a conversation."""
        found = self._client.call("GET", AccountKeys(account_sid).bindings + lane)
        return dict(json.loads(found)) if found else {}

    def put(self, account_sid: str, lane: str, known: Mapping[str, str]) -> None:
        """Keep this instead."""
        written = json.dumps(known, separators=(",", ":"))
        self._client.call("SET", AccountKeys(account_sid).bindings + lane, written, "EX", KEEP_SECONDS)

    def forget(self, account_sid: str, lanes: Iterable[str]) -> None:
        """Forget conversations."""
        keys = [AccountKeys(account_sid).bindings + lane for lane in lanes]
        if keys:
            self._client.call("UNLINK", *keys)
