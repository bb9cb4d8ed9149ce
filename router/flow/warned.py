"""A warning, and the warnings about settings, which are known without a flow. `warning` has those about flows."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from router.settings import Settings
from router.url import origin

if TYPE_CHECKING:
    from router.flow.flex_flow import FlexFlow

_WEBHOOK: Final = re.compile(r"/webhooks(/[^/]*)?/?$")


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning about a flow, or about the set-up.

    Args:
        flow: the flow; None if the warning is not about one flow.
        text: the problem, as the end of a sentence that begins with the flow's name.
        advice: the action to take.
        fault: whether messages are lost or customers harmed, so that it must be corrected.
        among_others: whether other flows of the address are the cause.
    """

    flow: "FlexFlow | None"
    text: str
    advice: str
    fault: bool = False
    among_others: bool = False

    @property
    def full(self) -> str:
        """The flow's name and SID, the problem, and the advice."""
        return f"{self.flow.friendly_name!r} ({self.flow.sid}) {self}" if self.flow else str(self)

    def __str__(self) -> str:
        """Return the problem, and the advice."""
        return f"{self.text}{'' if self.text.endswith('?') else '.'} {self.advice[:1].upper()}{self.advice[1:]}"


def of_settings(settings: Settings) -> list[Warned]:
    """Return the warnings about settings with which no flow gets messages."""
    shown = [origin(url) + urlsplit(url).path for url in settings.public_urls]
    return [
        Warned(
            None,
            f"the public URL {url} ends with the path of a webhook, so the router answers messages 403",
            f"set ROUTER_PUBLIC_URL to {_WEBHOOK.sub('', url)}: the router adds the path",
            fault=True,
        )
        for url in shown
        if _WEBHOOK.search(url)
    ]
