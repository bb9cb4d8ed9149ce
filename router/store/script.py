"""The Lua scripts of the folder `scripts`, and the commands that run them."""

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, TypeAlias

from router.store.keys import guard

Word: TypeAlias = str | bytes | int | float


class Script:
    """A Lua script of this package, named by its file, called by its digest.

    A line `--include other` is replaced by the content of other.lua: code shared by several scripts. Each script is
    called with an additional last key, the guard (see `script`), which is removed before its own code runs.
    """

    def __init__(self, name: str) -> None:
        first, _, rest = _INCLUDE.sub(lambda found: _read(found[1].decode()), _read(name)).partition(b"\n")
        self.source = first + b"\ntable.remove(KEYS) -- the guard\n" + rest
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


@cache
def _read(name: str) -> bytes:
    return _FOLDER.joinpath(f"{name}.lua").read_bytes()


_FOLDER: Final = resources.files(__package__).joinpath("scripts")
_INCLUDE: Final = re.compile(rb"^--include (\w+)$", re.MULTILINE)

# Every file that begins with `#!lua` is a script of its own; the others are only included.
SCRIPTS: Final = {
    name: Script(name)
    for file in _FOLDER.iterdir()
    if file.name.endswith(".lua") and _read(name := file.name.removesuffix(".lua")).startswith(b"#!lua")
}


def script(name: str, keys: Sequence[Word], args: Sequence[Word]) -> tuple[Word, ...]:
    """Return the command that runs the script `name`.

    Scripts also use keys that are not passed as keys, all of the same slot: they build them from the hash tag, or from
    prefixes among their arguments. While a slot is moved to another node of a Cluster, some of these keys are already
    on the new node, so a script could fail in the middle. So the last key is a guard, which has the slot's tag and
    never exists: while a slot is moved, a node does not run a script with several keys if one of them is missing.
    """
    return ("EVALSHA", SCRIPTS[name].sha, len(keys) + 1, *keys, _guard(keys[0]), *args)


def _guard(key: Word) -> str:
    text = key.decode() if isinstance(key, bytes) else str(key)
    return guard(text[text.index("{") + 1 : text.index("}")])
