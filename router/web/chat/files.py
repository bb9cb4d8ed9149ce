"""The files of the widget, each under a name with its content's hash, so that browsers may keep it for ever."""

import mimetypes
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class File:
    """One file: its content, its type, and its name with the hash."""

    content: bytes = field(repr=False)
    content_type: str
    hashed: str


def load(folder: Path = FOLDER) -> dict[str, File]:
    """Read all files of the folder, by their plain names, which may have a folder of their own (`lang/es.json`)."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content, name = path.read_bytes(), path.relative_to(folder)
            stem = str(name.with_suffix(""))
            hashed = f"{stem}.{sha256(content).hexdigest()[:12]}{path.suffix}"
            kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            found[str(name)] = File(content, kind, hashed)
    return found
