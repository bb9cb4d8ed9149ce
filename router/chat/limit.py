"""Rate limits and size limits of visitors, which limit their cost: docs/web-chat.md."""

from ipaddress import ip_address, ip_network
from typing import Final

from router.store.chats import Chats, digest

_TEN_MINUTES: Final = 600
_HOUR: Final = 3600
# New chats at one address, from one network and from all networks: the second limits the cost of a botnet.
SESSIONS: Final = (5, _TEN_MINUTES)
SESSIONS_OF_ADDRESS: Final = (3000, _TEN_MINUTES)
# Requests for a chat, new or existing: a page sends one each time it is loaded.
RESUMED: Final = (120, _TEN_MINUTES)
# Messages of one chat, and of one network.
MESSAGES: Final = (30, 60)
MESSAGES_OF_NETWORK: Final = (300, _HOUR)
# Other writes of one chat: read marks, the end, a new token.
SIGNALS: Final = (60, 60)
# Typing indicators of one chat; more are ignored.
TYPING: Final = (1, 3)
# Reads of one chat: streams, polls, history, transcripts. A tab that polls asks 20 times a minute.
READS: Final = (300, 60)

# Bytes: Twilio's limits for a chat message and for the data of a form, and ours for a request.
BODY_MOST: Final = 32 * 1024
DATA_MOST: Final = 16 * 1024
REQUEST_MOST: Final = 64 * 1024
# The limit for a request with a message: in JSON one byte of text may take six bytes.
MESSAGE_REQUEST_MOST: Final = 200 * 1024


def network_of(address: str) -> str:
    """Return the network that counts as one visitor: an IPv4 address or an IPv6 /64; "" for this machine.

    A connection from this machine is from a proxy or a tunnel. Then the visitor's own address is unknown, and all
    visitors would count as one.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:  # a unix socket
        return ""
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.is_loopback:
        return ""
    return str(parsed) if parsed.version == 4 else str(ip_network(f"{parsed}/64", strict=False))  # noqa: PLR2004


class Limits:
    """Counts visitors' actions. Each call returns the seconds to wait, 0 if the action is allowed."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats

    def session(self, account_sid: str, address: str, network: str) -> float:
        """Count a new chat."""
        counts = [(f"sessions:{address}", *SESSIONS_OF_ADDRESS)]
        if network:
            counts.append((f"sessions:{address}:{digest(network)}", *SESSIONS))
        return self._chats.limit(account_sid, counts)

    def resumed(self, account_sid: str, address: str, network: str) -> float:
        """Count a request to begin or resume a chat."""
        named = digest(network) if network else "here"
        most, seconds = RESUMED
        return self._chats.limit(
            account_sid, [(f"resumed:{address}:{named}", most if network else 10 * SESSIONS_OF_ADDRESS[0], seconds)]
        )

    def message(self, account_sid: str, conversation_sid: str, network: str) -> float:
        """Count a message."""
        counts = [(f"messages:{conversation_sid}", *MESSAGES)]
        if network:
            counts.append((f"messages:{digest(network)}", *MESSAGES_OF_NETWORK))
        return self._chats.limit(account_sid, counts)

    def reading(self, account_sid: str, conversation_sid: str) -> float:
        """Count a request that reads messages."""
        return self._chats.limit(account_sid, [(f"reads:{conversation_sid}", *READS)])

    def typing(self, account_sid: str, conversation_sid: str) -> float:
        """Count a typing indicator."""
        return self._chats.limit(account_sid, [(f"typing:{conversation_sid}", *TYPING)])

    def signal(self, account_sid: str, conversation_sid: str) -> float:
        """Count another write: a read mark, the end, a new token."""
        return self._chats.limit(account_sid, [(f"signals:{conversation_sid}", *SIGNALS)])
