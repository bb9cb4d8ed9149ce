"""Recognizes a plain webhook request: one that uses only the simplest part of HTTP.

This is a regular expression, not an HTTP parser. Any request that could be ambiguous is not plain, and gunicorn's own
parser reads it. tests/core/test_plain_request.py checks that both read plain requests in the same way. Not plain are,
among others: another method or path, a `#`, a repeated header, a header name with `_`, a byte in the head that is not
printable ASCII, a transfer coding, `Expect`, `Upgrade`, and more bytes than Content-Length.
"""

import re
from functools import lru_cache
from typing import Any, Final

from router.value import value

# Maximum bytes of a head: less than gunicorn's limits for one line and one field, so that these need no check.
HEAD_MOST: Final = 8000
_HEAD: Final = re.compile(
    r"POST (/webhooks/[a-z]+)(?:\?([!-\"$-~]*))? HTTP/1\.([01])\r\n"
    r"((?:[A-Za-z0-9-]+:[ -~]*\r\n){1,64})\r\n"
)
_FIELD: Final = re.compile(r"([A-Za-z0-9-]+): *([ -~]*)\r\n")
_LENGTH: Final = re.compile(r"[0-9]{1,7}")
# Headers that change how the body is read, or that require an action of the server.
_NOT_PLAIN: Final = frozenset(("HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_TRAILER", "HTTP_TE"))


@value
class PlainRequest:
    """A plain request.

    `variables` are the variables of the WSGI environment (PEP 3333) that depend on the request. `missing` is how many
    bytes of the body have not been received yet; `body` has the received ones.
    """

    variables: dict[str, str]
    body: bytes
    missing: int
    closes: bool  # the connection ends with the answer


def plain_request(data: bytes, fields_most: int) -> PlainRequest | None:
    """Read a plain request; None if the data does not begin with a complete head of one.

    Args:
        data: the bytes received since the last request.
        fields_most: the maximum number of header fields.
    """
    head = _HEAD.match(data[:HEAD_MOST].decode("latin-1"))  # only ASCII matches
    if head is None:
        return None
    path, query, minor, block = head.groups("")
    has_query = head[2] is not None  # also true for an empty one
    lines = _FIELD.findall(block)
    variables = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if has_query else path,
        "SERVER_PROTOCOL": f"HTTP/1.{minor}",
    }
    fields = len(variables) + len(lines)
    for name, text in lines:
        variables[_variable(name)] = text.rstrip(" ")
    length = variables.get("CONTENT_LENGTH", "")
    connection = variables.get("HTTP_CONNECTION", "").lower()
    if (
        len(lines) > fields_most
        or len(variables) < fields  # a header is repeated
        or not _LENGTH.fullmatch(length)
        or connection not in ("", "keep-alive", "close")
        or not _NOT_PLAIN.isdisjoint(variables)
    ):
        return None
    body = data[head.end() :]
    missing = int(length) - len(body)
    if missing < 0:  # the next request has been received, too
        return None
    return PlainRequest(variables, body, missing, connection == "close" or (minor == "0" and not connection))


def connection_variables(server: tuple[Any, ...] | str, client: tuple[Any, ...] | str, host: str) -> dict[str, str]:
    """Return the variables of a request that depend on its connection, as gunicorn makes them.

    A unix socket has no port, and its clients have no address: there the server's name and port are those in `Host`.

    Args:
        server: the address of the listening socket, a path for a unix socket.
        client: the address of the client, "" on a unix socket.
        host: the request's `Host`, "" without one; used on a unix socket only.
    """
    if isinstance(server, str):
        named = host if host and ":" not in server else server
        name, _, port = named.partition(":")
        port = port.partition(":")[0] if ":" in named else "80" if host else ""
        variables = {"SERVER_NAME": name, "SERVER_PORT": port}
    else:
        variables = {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1])}
    if isinstance(client, str):
        return variables | {"REMOTE_ADDR": client}
    return variables | {"REMOTE_ADDR": client[0], "REMOTE_PORT": str(client[1])}


@lru_cache(maxsize=1024)
def _variable(name: str) -> str:
    variable = name.upper().replace("-", "_")
    return variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"
