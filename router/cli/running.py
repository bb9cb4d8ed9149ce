"""The record of the router that runs in a data directory: commands read its settings and its address from it."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from router.settings import Settings, load

_RECORD = "running.json"
_ACCOUNTS = "accounts"  # beside the variables in the record


@contextlib.contextmanager
def recorded(data_dir: Path, variables: Mapping[str, str], accounts: Sequence[str]) -> Iterator[None]:
    """Keep a record in the data directory while the router runs, so that other commands find it.

    `variables` has no secrets: the URL of the store, the configuration file and the addresses.
    """
    record = data_dir / _RECORD
    record.write_text(json.dumps({**variables, _ACCOUNTS: accounts}), encoding="utf-8")
    try:
        yield
    finally:
        record.unlink(missing_ok=True)


def load_settings_for_cli(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings as the running router has them.

    The environment takes precedence. The other settings come from the router that runs in the data directory: its
    store, its configuration (the demo account), its addresses. `redis_url` is None if no router runs and no store is
    set.

    Raises:
        SettingsError: a setting does not parse.
    """
    own = dict(os.environ if environ is None else environ)
    settings = load(own)
    record = _record(settings)
    record.pop(_ACCOUNTS, None)
    return load(_without_conflicts(record, own) | own) if record else settings


def _without_conflicts(record: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Remove from a record the variables that conflict with the environment: NAME and NAME_FILE, another account."""
    set_here = {name.removesuffix("_FILE") for name, value in environ.items() if value}
    if set_here & {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"}:
        set_here |= {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"}
    return {name: value for name, value in record.items() if name.removesuffix("_FILE") not in set_here}


def running_accounts(settings: Settings) -> tuple[str, ...]:
    """Return the SIDs of the accounts of the router that runs in the data directory; empty if no router runs there."""
    return tuple(_record(settings).get(_ACCOUNTS, ()))


def _record(settings: Settings) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((settings.data_dir / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return record


def base_url(settings: Settings) -> str:
    """Return the URL at which this machine reaches the router of these settings: `http://127.0.0.1:8000`."""
    host, port = address(settings)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def address(settings: Settings) -> tuple[str, int]:
    """Return host and port to connect to; a router that listens on all addresses is reached on the loopback one."""
    host, port = listening(settings)
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - a key


def listening(settings: Settings) -> tuple[str, int]:
    """Return host and port to listen on."""
    host, _, port = settings.bind.rpartition(":")
    return host.strip("[]"), int(port)
