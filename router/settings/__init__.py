"""Settings: parsed once at start, from the environment and from the file that ROUTER_CONFIG names.

Each field of `Settings` has its name, type, default and help; the README's table and `router run --help` are derived
from them (`router.settings.documentation`). Add a new setting to config/router.toml too, the example that operators
copy.
"""

from router.settings.account import Account
from router.settings.loading import load
from router.settings.settings import Settings

__all__ = ["Account", "Settings", "load"]
