"""What may have happened to a URL between Twilio's signature and us: proxies, tunnels, and a public URL set wrongly.

https://www.twilio.com/docs/usage/security
https://help.twilio.com/articles/50535649249307
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from router.diagnosis.deviation import Finding, Suspect
from router.message.signature import signed_urls

# Ports that people's servers and tunnels listen on, and that a URL at Twilio may name.
_PORTS: Final = ("443", "80", "8000", "8080", "8443", "3000", "5000")
# Paths that proxies and hosts put in front, and take away before they pass a request on.
_PREFIXES: Final = ("/api", "/twilio", "/router", "/prod", "/dev", "/staging", "/default", "/v1")
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the request and its proxies said of the address it was sent to; all of it is hearsay.

    `hosts` may have ports; `prefixes` begin with a `/`.
    """

    hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


def urls(base: str, target: str, seen: Seen) -> list[Suspect[str]]:
    """List the URLs that Twilio may have signed for a request that came to `target` of the public `base`.

    The fewer changes one supposes, the earlier it stands: any of scheme, host and port, and one of the path or query.
    """
    parts = urlsplit(base)
    found = [
        Suspect(url, (*origin.findings, *path.findings))
        for origin, path in product(_origins(parts.scheme, parts.netloc, seen), _targets(parts.path, target, seen))
        for url in _signed(origin.value, path.value)
    ]
    found.sort(key=lambda suspect: len(suspect.findings))
    first = {suspect.value: suspect for suspect in reversed(found)}
    return [suspect for suspect in found if first[suspect.value] is suspect]


def _signed(origin: str, target: str) -> Sequence[str]:
    try:
        return signed_urls(origin, target) if target.startswith("/") else (origin + target,)
    except ValueError:
        return ()


def _origins(scheme: str, netloc: str, seen: Seen) -> Iterator[Suspect[str]]:
    host, port = _split(netloc)
    seen_hosts = dict.fromkeys(name for each in seen.hosts for name in (_split(each)[0], _split(each)[0].lower()))
    seen_ports = [*seen.ports, *(_split(each)[1] for each in seen.hosts)]
    hosts = [host, *(each for each in seen_hosts if each and each != host)]
    ports = [port, *(each for each in dict.fromkeys((*seen_ports, *_PORTS)) if each and each != port)]
    for how, where, door in product((scheme, "http" if scheme == "https" else "https"), hosts, ports):
        findings = []
        here, there = f"{scheme}://{netloc.rpartition('@')[2]}", f"{how}://{where}{f':{door}' if door else ''}"
        if how != scheme:
            findings.append(_origin("scheme", f"Twilio signed an {how} URL, and the router's public URL is {scheme}"))
        if where != host:
            findings.append(
                _origin("host", f"Twilio signed a URL of {where}, and the router's public URL is of {host}")
            )
        if door != port:
            findings.append(_origin("port", f"Twilio signed a URL with port {door}, and the router's {_has(port)}"))
        yield Suspect(
            there, tuple(replace(each, advice=each.advice.format(here=here, there=there)) for each in findings)
        )


def _origin(cause: str, found: str) -> Finding:
    advice = "set ROUTER_PUBLIC_URL to {there}, or write the webhook at Twilio with {here}"
    return Finding(cause, found, advice)


def _has(port: str) -> str:
    return f"public URL has {port}" if port else "public URL has none"


def _split(netloc: str) -> tuple[str, str]:
    host, colon, port = netloc.rpartition("@")[2].rpartition(":")
    return (host, port) if colon and port.isdecimal() else (netloc.rpartition("@")[2], "")


def _targets(prefix: str, target: str, seen: Seen) -> Iterator[Suspect[str]]:
    path, mark, query = target.partition("#")[0].partition("?")
    rest = mark + query
    yield Suspect(prefix + target.partition("#")[0])
    proxy = "let the proxy pass the path on as it is, or set ROUTER_PUBLIC_URL with the path that is at Twilio"
    prefixes = ["", *seen.prefixes, *_PREFIXES]
    for other in dict.fromkeys(each.rstrip("/") for each in prefixes):
        if other != prefix:
            said = f"with {other} in front of the path" if other else f"without {prefix} in front of the path"
            yield Suspect(other + path + rest, (Finding("path_prefix", f"Twilio signed a URL {said}", proxy),))
    segments = path.split("/")
    for n in range(2, len(segments)):
        shorter = "/" + "/".join(segments[n:])
        yield Suspect(
            shorter + rest,
            (Finding("path_prefix", f"Twilio signed the path {shorter}; on the way it became {path}", proxy),),
        )
    slashed = path.removesuffix("/") if path.endswith("/") else path + "/"
    how = "with" if slashed.endswith("/") else "without"
    yield Suspect(
        prefix + slashed + rest,
        (
            Finding(
                "trailing_slash",
                f"Twilio signed the path {how} a slash at its end; it came {'with' if how == 'without' else 'without'}",
                f"write the webhook at Twilio as {prefix}{path}, or let the proxy keep the path as it is",
            ),
        ),
    )
    yield from _escapes(prefix, path, query, mark)
    yield from _queries(prefix + path, query, mark)


def _escapes(prefix: str, path: str, query: str, mark: str) -> Iterator[Suspect[str]]:
    """Write path and query with other escapes: the signature is over the URL byte for byte."""
    finding = Finding(
        "query_encoding",
        "Twilio signed the URL with other escapes (%20 and +, %2F and /, letters' case) than those that came",
        "let the proxy pass path and query on byte for byte, or write the webhook at Twilio without escapes",
    )
    whole = path + mark + query
    others = (
        unquote(whole),
        path + mark + unquote_plus(query),
        path + mark + query.replace("+", "%20"),
        path + mark + query.replace("%20", "+"),
        _ESCAPE.sub(lambda match: match[0].lower(), whole),
        _ESCAPE.sub(lambda match: match[0].upper(), whole),
        quote(unquote(path)) + mark + quote(unquote(query), safe="=&"),
        path + mark + quote(unquote_plus(query), safe="=&/:+"),
        quote(path) + mark + quote(query, safe="=&+"),
    )
    yield from (Suspect(prefix + other, (finding,)) for other in dict.fromkeys(others) if other != whole)


def _queries(path: str, query: str, mark: str) -> Iterator[Suspect[str]]:
    keep = "let the proxy pass the query on as it is"
    if not mark:
        yield Suspect(f"{path}?", (Finding("query", "Twilio signed the URL with a bare ? at its end", keep),))
        return
    pairs = query.split("&")
    for n, pair in enumerate(pairs[:20]):
        without = "&".join([*pairs[:n], *pairs[n + 1 :]])
        name = pair.partition("=")[0][:40]
        found = f"Twilio signed the URL without {name!r} in its query: something on the way added it"
        yield Suspect(f"{path}{'?' * bool(without)}{without}", (Finding("query", found, keep),))
    if len(pairs) > 1:
        yield Suspect(path, (Finding("query", "Twilio signed the URL without its query, which was added later", keep),))
