"""Every kind of key in the store is in the list of keys.py, with its owner, purpose and end."""

import re
from pathlib import Path

from router.store import keys

# A key is written as its family and the hash tag: "message:{tag}:", 'failures:{0}:'.
_WRITTEN = re.compile(r"""["']([a-z_]+):\{""")
_LISTED = re.compile(r"^    ([a-z_]+):\{[b0]\}\S* +\| (account|bucket|router) +\| \S.*\S$", re.MULTILINE)


def test_every_family_of_keys_is_listed() -> None:
    """Every kind of key that a module or script names has a row in the list, and every row is of such a kind."""
    folder = Path(keys.__file__).parent
    sources = (file.read_text() for file in folder.rglob("*") if file.suffix in {".py", ".lua"})
    written = {family for source in sources for family in _WRITTEN.findall(source)}
    listed = {found[0] for found in _LISTED.findall(keys.__doc__ or "")}
    assert listed == written
