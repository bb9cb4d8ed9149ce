"""Stylesheet, script and icon. Their names have a digest of their content, so browsers may cache them permanently."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, g

from router.flow.integration_type import INTEGRATION_TYPES

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class _File:
    """A file: its name with the digest, its type and its content."""

    name: str
    type: str
    content: bytes


def _by_type() -> bytes:
    """Return the CSS rules that show the fields of the selected integration type."""
    return "".join(
        f'form:has([name="IntegrationType"] option[value="{name}"]:checked) .{name} {{ display: block; }}\n'
        for name in INTEGRATION_TYPES
    ).encode()


def _read() -> Mapping[str, _File]:
    files = {}
    for each in resources.files(__package__).joinpath("static").iterdir():
        stem, _, kind = each.name.rpartition(".")
        if kind in _TYPES:
            content = each.read_bytes() + (_by_type() if each.name == "console.css" else b"")
            digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
            files[each.name] = _File(f"{stem}.{digest}.{kind}", _TYPES[kind], content)
    return files


_FILES: Final = _read()
_NAMED: Final = {each.name: each for each in _FILES.values()}


def path(name: str) -> str:
    """Return the path of a file of the folder static/."""
    return f"{urlsplit(str(g.get('base', ''))).path}/console/static/{_FILES[name].name}"


def register(console: Blueprint) -> None:
    """Serve the files; they need no sign-in."""

    @console.get("/static/<name>")
    def file(name: str) -> Response:
        found = _NAMED.get(name)
        if found is None:
            abort(404)
        response = Response(found.content, content_type=found.type)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response
