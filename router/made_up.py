"""The account that `router run` generates for a data directory if none is configured: its flows may echo."""

import tomllib
from pathlib import Path
from typing import Final

FILE: Final = "demo.toml"


def made_up_sid(data_dir: Path) -> str:
    """Return the SID of the account that was generated for a data directory; "" if there is no such account."""
    try:
        made = tomllib.loads((data_dir / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return next((str(account["sid"]) for account in made.get("account", ())), "")
