"""The configuration that `router run` makes when it is given none, kept in the data directory.

Token and password are random for each data directory and never printed anywhere else than by `router run`: a tunnel's
traffic arrives from 127.0.0.1, so loopback is never a reason to trust.
"""

import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from router.made_up import FILE, made_up_sid
from router.settings import Settings
from router.sid import new_sid

_HEAD: Final = """\
# Made by `router run`, and only readable by you. To serve accounts of your own, name a file of yours in ROUTER_CONFIG
# (config/router.toml shows what can be in it), or set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.

admin_password = "{password}"
"""
_CONSOLE: Final = "console.toml"
_ACCOUNT: Final = """
recover = false  # Twilio does not know this account

[[account]]
sid = "{sid}"
auth_tokens = ["{token}"]
"""


def configuration(data_dir: Path, *, with_account: bool) -> Path:
    """Return the TOML file with a console password and, if wanted, a made-up account.

    It is made once for each data directory, mode 0600, and found again by later runs.

    Args:
        data_dir: an existing directory.
        with_account: False when the environment names a real account.
    """
    path = data_dir / (FILE if with_account else _CONSOLE)
    if not path.exists():
        text = _HEAD.format(password=secrets.token_urlsafe(12))
        if with_account:
            text += _ACCOUNT.format(sid=new_sid("AC"), token=secrets.token_hex(16))
        _write_private(path, text)
    return path


def variables(data_dir: Path, settings: Settings) -> Mapping[str, str]:
    """Return the variables that add the made-up account to the settings of a file that has none.

    They name files with the secrets, never the secrets themselves, so that they may be recorded.

    Args:
        data_dir: an existing directory, absolute.
        settings: what the file says.
    """
    made = tomllib.loads(configuration(data_dir, with_account=True).read_text(encoding="utf-8"))
    [account] = made["account"]
    found = {"TWILIO_ACCOUNT_SID": account["sid"]}
    kept = {"TWILIO_AUTH_TOKEN": account["auth_tokens"][0]}
    if settings.admin_password is None:
        kept["ROUTER_ADMIN_PASSWORD"] = made["admin_password"]
    for name, secret in kept.items():
        path = data_dir / f"demo-{name.lower()}"
        _write_private(path, secret)
        found[f"{name}_FILE"] = str(path)
    return found


def is_made_up(settings: Settings) -> bool:
    """Say whether the only account is the one that `router run` made up."""
    return [account.sid for account in settings.accounts] == [made_up_sid(settings.data_dir)]


def is_made_up_password(settings: Settings) -> bool:
    """Say whether the console's password is the one that `router run` made up for this data directory."""
    paths = (settings.data_dir / name for name in (FILE, _CONSOLE))
    files = (tomllib.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file())
    return settings.admin_password in [made.get("admin_password") for made in files]


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
