"""A running router, a Twilio account with one number, and commands that are run with the settings of both."""

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
"""The number's first webhook settings."""


class LocalSetup:
    """Runs commands with the settings of a router and of a Twilio account with one number.

    Args:
        config: the router's settings file.
        twilio: the account, which gets a number.
        folder: the data directory of the commands.
        base: the router's public URL.
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

    def run(self, *words: str, **more: str) -> Result:
        """Run a command to its end."""
        return invoke(*words, **self.environ | more)

    def start(self, *words: str, **more: str) -> Terminal:
        """Start a command that runs until it is ended."""
        return Terminal(self.folder, *words, **self.environ | more)

    @property
    def webhook(self) -> tuple[Any, ...]:
        """Return the webhook settings that the number has now."""
        return tuple(self.number[field] for field in SMS)

    @property
    def webhook_here(self) -> tuple[str, ...]:
        """Return the webhook settings of a number that points to this router."""
        return webhook_to(self.base)

    @property
    def connections(self) -> Any:
        """Return the connections in the record on disk."""
        return json.loads((self.folder / NAME).read_text())["connections"]


def webhook_to(base: str) -> tuple[str, ...]:
    """Return the webhook settings of a number that points to a public base URL."""
    url = f"{base}/webhooks/sms"
    return (f"{url}#rc=2&rp=ct,5xx&ct=3000&rt=12000", "POST", url, "POST", "")


@contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    """Run a router whose public URL is its own address, with its data directory in the folder."""
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
def local_setup(config: Path, port: int, folder: Path) -> Iterator[LocalSetup]:
    """Set up commands for the router at a port, with a Twilio account of their own."""
    with TwilioRest(ACCOUNT, TOKEN) as twilio:
        yield LocalSetup(config, twilio, folder, f"http://127.0.0.1:{port}")
