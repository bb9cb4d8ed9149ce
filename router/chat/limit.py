"""What visitors may do how often. The numbers bound what they can cost: docs/web-chat.md."""

from ipaddress import ip_address, ip_network
from typing import Final

from router.store.chats import Chats, digest

_TEN_MINUTES: Final = 600
_HOUR: Final = 3600
# New chats of one network at one address; and of all networks, so that a botnet costs no more than this.
SESSIONS: Final = (5, _TEN_MINUTES)
SESSIONS_OF_ADDRESS: Final = (3000, _TEN_MINUTES)
# Chats that are gone on with: a page does that once each time it is loaded.
RESUMED: Final = (120, _TEN_MINUTES)
# Messages of one chat, and of one network.
MESSAGES: Final = (30, 60)
MESSAGES_OF_NETWORK: Final = (300, _HOUR)
# What a page says beside messages: what was read, an end, a token that is renewed; of one chat.
SIGNALS: Final = (60, 60)
# Typing is told this often; more is passed over.
TYPING: Final = (1, 3)
# What a page asks: streams, polls, history, transcripts; of one chat. A tab that polls asks 20 times a minute.
READS: Final = (300, 60)

# Bytes: Twilio's limit of a chat message, of the data of a form, and of a whole request.
BODY_MOST: Final = 32 * 1024
DATA_MOST: Final = 16 * 1024
REQUEST_MOST: Final = 64 * 1024
# The same of a message: in JSON each byte of a text may take six.
MESSAGE_REQUEST_MOST: Final = 200 * 1024


def network_of(address: str) -> str:
    """Return the network that is counted as one visitor: an IPv4 address, or an IPv6 /64; "" for this machine.

    Connections from this machine are a proxy's or a tunnel's: the visitor's own address is not known, and all visitors
    would be counted as one.
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
    """Counts what visitors do; each call returns the seconds to wait, 0 where it may be done."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats

    def session(self, account_sid: str, address: str, network: str) -> float:
        """Count a chat that begins."""
        counts = [(f"sessions:{address}", *SESSIONS_OF_ADDRESS)]
        if network:
            counts.append((f"sessions:{address}:{digest(network)}", *SESSIONS))
        return self._chats.limit(account_sid, counts)

    def resumed(self, account_sid: str, address: str, network: str) -> float:
        """Count a request for a chat, a new one or one to go on with."""
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
        """Count a request for what was said."""
        return self._chats.limit(account_sid, [(f"reads:{conversation_sid}", *READS)])

    def typing(self, account_sid: str, conversation_sid: str) -> float:
        """Count a sign of typing."""
        return self._chats.limit(account_sid, [(f"typing:{conversation_sid}", *TYPING)])

    def signal(self, account_sid: str, conversation_sid: str) -> float:
        """Count something small that a page does."""
        return self._chats.limit(account_sid, [(f"signals:{conversation_sid}", *SIGNALS)])
