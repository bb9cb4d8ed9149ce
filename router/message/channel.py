"""The table of the channels: their names, prefixes and sample addresses.

A new channel is a row here, and an example flow in config/flows.toml; the demo's flow follows from the row, and `make
docs` writes the lists of channels. If its
addresses or webhooks are special, see message/address.py, and cli/send/inbound.py and shape.py for simulated messages.
A prefix that flows of `custom` have used so far then belongs to the new channel: these flows no longer match such
messages, and /webhooks/custom answers 400 to them.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel.

    Args:
        name: as in `ChannelType` and in the path of the webhook.
        title: its name for people.
        prefix: the prefix of its addresses, without the colon; "" for telephone numbers.
        types: its types in Twilio's Conversations address configuration; the first is written, all are read.
        customer: a sample customer's address; numbers are of a range that is reserved for fiction.
        ours: a sample address of a business: Twilio's magic test number, its WhatsApp sandbox.
        webhook: whether Twilio calls a webhook for its messages; web chat uses the visitor's API instead.
        telephone: whether the addresses of businesses on it are telephone numbers.
    """

    name: str
    title: str
    prefix: str
    types: tuple[str, ...]
    customer: str
    ours: str
    webhook: bool = True
    telephone: bool = False


_TABLE: Final = (
    Channel("web", "Web chat", "web", ("chat",), "web:ana", "web:shop", webhook=False),
    Channel("sms", "SMS", "", ("sms",), "+14155550100", "+15005550006", telephone=True),
    Channel(
        "whatsapp",
        "WhatsApp",
        "whatsapp",
        ("whatsapp",),
        "whatsapp:+14155550100",
        "whatsapp:+14155238886",
        telephone=True,
    ),
    Channel(
        "facebook",
        "Messenger",
        "messenger",
        ("messenger",),
        "messenger:4915550123456789",
        "messenger:104925788412345",
    ),
    Channel("rcs", "RCS", "rcs", ("rcs",), "rcs:+14155550100", "rcs:demo_agent"),
    Channel("line", "LINE", "line", ("line",), "line:U4af4980629", "line:Ub1234567"),
    # All other prefixes; Twilio names three of them.
    Channel(
        "custom",
        "Custom",
        "",
        ("custom", "gbm", "email", "apple"),
        "apple:urn:mbid:AQAAY0100",
        "apple:0a1b2c3d",
    ),
)
ALL: Final = {each.name: each for each in _TABLE}
WEB: Final = "web"
# The names of all channels, and of those that have a webhook.
CHANNELS: Final = tuple(ALL)
WEBHOOKS: Final = tuple(each.name for each in _TABLE if each.webhook)
# The path of the webhook for messages of any channel: /webhooks/message.
ANY: Final = "message"


def webhook_paths() -> str:
    """Return the paths of the webhooks as text: `/webhooks/sms, …/whatsapp, … and …/message`."""
    first, *others = WEBHOOKS
    return f"/webhooks/{first}, {', '.join(f'…/{each}' for each in others)} and …/{ANY}"
