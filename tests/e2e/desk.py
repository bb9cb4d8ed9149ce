"""A desk with the local kit: a router that runs, a Twilio with a number, and commands typed at them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from click.testing import Result

from router.twilio_api.connections import NAME
from tests.e2e.commands import invoke
from tests.e2e.service import ACCOUNT, OWN, TOKEN, Service
from tests.e2e.terminal import Terminal
from tests.e2e.twilio_rest import TwilioRest
from tests.valkey import ValkeyServer

NUMBER: Final = "+15550000001"
OLD: Final = "https://demo.twilio.com/welcome/sms/reply"
SMS: Final = ("sms_url", "sms_method", "sms_fallback_url", "sms_fallback_method", "sms_application_sid")
FIRST: Final = (OLD, "GET", "https://example.com/fb", "POST", "AP" + "1" * 32)
"""What the number's webhook says at first."""


class Desk:
    """Where commands are typed.

    Args:
        config: of the router.
        twilio: it gets a number.
        folder: the data directory of the commands.
        base: the public address.
    """

    def __init__(self, config: Path, twilio: TwilioRest, folder: Path, base: str) -> None:
        self.twilio = twilio
        self.folder = folder
        self.base = base
        self.number = twilio.number(NUMBER, **dict(zip(SMS, FIRST, strict=True)))
        self.environ = {
            "ROUTER_CONFIG": str(config),
            "ROUTER_PUBLIC_URL": base,
            "ROUTER_DATA_DIR": str(folder),
            "ROUTER_TWILIO_API_URL": twilio.url,
        }

    def type(self, *words: str, **more: str) -> Result:
        """Type a command, and wait for its end."""
        return invoke(*words, **self.environ | more)

    def terminal(self, *words: str, **more: str) -> Terminal:
        """Type a command that runs until it is ended."""
        return Terminal(self.folder, *words, **self.environ | more)

    @property
    def says(self) -> tuple[Any, ...]:
        """Return the webhook settings that the number has now."""
        return tuple(self.number[field] for field in SMS)

    @property
    def here(self) -> tuple[str, ...]:
        """Return the webhook settings that lead the number to this router."""
        return leading_to(self.base)

    @property
    def record(self) -> Any:
        """Return the connections that are recorded on disk."""
        return json.loads((self.folder / NAME).read_text())["connections"]


def leading_to(base: str) -> tuple[str, ...]:
    """Return the webhook settings of a number that leads to a public base."""
    url = f"{base}/webhooks/sms"
    return (f"{url}#rc=2&rp=ct,5xx&ct=3000&rt=12000", "POST", url, "POST", "")


@contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    """Run a router whose public address is its own, with its data directory in the folder."""
    valkey = ValkeyServer()
    data = folder / "var"
    data.mkdir()
    service = Service(folder, valkey.url, workers=1, public_url=OWN, ROUTER_DATA_DIR=str(data))
    try:
        yield service
    finally:
        service.close()
        valkey.close()


@contextmanager
def open_desk(config: Path, port: int, folder: Path) -> Iterator[Desk]:
    """Make a desk at a router, with its own Twilio."""
    with TwilioRest(ACCOUNT, TOKEN) as twilio:
        yield Desk(config, twilio, folder, f"http://127.0.0.1:{port}")
