"""Runs commands in this process, with their own settings."""

import os
from collections.abc import Callable

from click.testing import CliRunner, Result

from router.cli import main
from tests.e2e.running import clean_environ

Cli = Callable[..., Result]

FLOWS = """
[[flow]]
friendly_name = "Echo"
channel_type = "sms"
contact_identity = "+15005550006"
integration_type = "handler"
integration.handler = "echo"

[[flow]]
friendly_name = "WhatsApp"
channel_type = "whatsapp"
integration_type = "handler"
integration.handler = "echo"

[[flow]]
friendly_name = "Messenger"
channel_type = "facebook"
integration_type = "handler"
integration.handler = "echo"

[[flow]]
friendly_name = "RCS"
channel_type = "rcs"
integration_type = "handler"
integration.handler = "echo"

[[flow]]
friendly_name = "Paused"
channel_type = "sms"
contact_identity = "+15005550001"
integration_type = "handler"
integration.handler = "echo"
paused = true
"""


def invoke(*args: str, given: str = "", **environ: str) -> Result:
    """Run a command in this process, with these settings and no others."""
    foreign: dict[str, str | None] = dict.fromkeys(os.environ.keys() - clean_environ().keys())
    return CliRunner().invoke(main, args, input=given, env=foreign | environ)


def external(address: str, url: str, **more: str) -> str:
    """Return a file with one flow that sends to a URL."""
    lines = [f'friendly_name = "To {address}"', 'channel_type = "sms"', f'contact_identity = "{address}"']
    lines += [f'integration.url = "{url}"', *(f"{name} = {value}" for name, value in more.items())]
    return "\n".join(["[[flow]]", *lines, ""])
