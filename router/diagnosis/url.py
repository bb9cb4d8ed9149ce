"""Deviations of the URL between Twilio's signature and the router: proxies, tunnels, and a wrong public URL.

Each function yields URLs that Twilio may have signed for a request to `target` of the public `base`, one at a time,
with one named deviation. Their number is limited for any request.

https://www.twilio.com/docs/usage/security
https://help.twilio.com/articles/50535649249307
"""

import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from router.diagnosis.deviation import Deviation, Finding
from router.diagnosis.refused import Seen
from router.message.signature import signed_urls

# Ports that servers and tunnels often use, and that a URL at Twilio may have.
_PORTS: Final = ("443", "80", "8000", "8080", "8443", "3000", "5000")
# Prefixes of paths that proxies and hosting services often add in public, and remove before they pass a request on.
_PREFIXES: Final = ("/api", "/twilio", "/router", "/prod", "/dev", "/staging", "/default", "/v1")
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
# The maximum number of a path's first segments, and of a query's parameters, that are tested as added on the way.
_SEGMENTS: Final = 6
_PARAMETERS: Final = 20


def exact(base: str, target: str) -> Sequence[str]:
    """List the URLs that Twilio may have signed if nothing was changed; none if base or target is not valid."""
    try:
        return signed_urls(base, target) if target.startswith("/") else (base + target,)
    except ValueError:
        return ()


def origins(base: str, target: str, seen: Seen) -> list[Deviation[str]]:
    """List the URLs of another public base: scheme, host and port may all differ, as behind a tunnel.

    Those with the fewest differences come first. The URL of an origin as it is written comes before the variants that
    Twilio may sign of another origin, for example without its port: so a finding names the origin that Twilio has.
    """
    try:
        parts = urlsplit(base)
    except ValueError:
        return []
    found = sorted(_origins(parts.scheme, parts.netloc, seen), key=lambda deviation: len(deviation.findings))
    variants = [(exact(origin.value + parts.path, target), origin.findings) for origin in found]
    first: dict[str, Deviation[str]] = {}
    for urls, findings in variants:
        for url in urls[:1]:
            first.setdefault(url, Deviation(url, findings))
    for urls, findings in variants:
        for url in urls[1:]:
            first.setdefault(url, Deviation(url, findings))
    unchanged = exact(base, target)
    return [deviation for url, deviation in first.items() if url not in unchanged]


def _origins(scheme: str, netloc: str, seen: Seen) -> Iterator[Deviation[str]]:
    host, port = _split(netloc)
    seen_hosts = dict.fromkeys(name for each in seen.hosts for name in (_split(each)[0], _split(each)[0].lower()))
    seen_ports = dict.fromkeys((*seen.ports, *(_split(each)[1] for each in seen.hosts)))
    hosts = [host, *(each for each in seen_hosts if each and each != host)]
    ports = [port, *(each for each in ("", *seen_ports) if each != port)]
    more = [each for each in _PORTS if each not in ports]
    here = f"{scheme}://{netloc.rpartition('@')[2]}"
    for how in (scheme, "http" if scheme == "https" else "https"):
        for where, other_port in (*product(hosts, ports), *product((host,), more)):
            there = f"{how}://{where}{f':{other_port}' if other_port else ''}"
            advice = f"set ROUTER_PUBLIC_URL to {there}, or write the webhook at Twilio with {here}"
            findings = []
            if how != scheme:
                found = f"Twilio signed an {how} URL, and the router's public URL is {scheme}"
                findings.append(Finding("scheme", found, advice))
            if where != host:
                found = f"Twilio signed a URL of {where}, and the router's public URL is of {host}"
                findings.append(Finding("host", found, advice))
            if other_port != port:
                signed = f"with port {other_port}" if other_port else "without a port"
                found = f"Twilio signed a URL {signed}, and the router's public URL has {port or 'none'}"
                findings.append(Finding("port", found, advice))
            if findings:
                yield Deviation(there, tuple(findings))


def _split(netloc: str) -> tuple[str, str]:
    host, colon, port = netloc.rpartition("@")[2].rpartition(":")
    return (host, port) if colon and port.isdecimal() else (netloc.rpartition("@")[2], "")


def prefixes(base: str, target: str, seen: Seen) -> Iterator[Deviation[str]]:
    """Add another prefix to the path, or remove its first segments."""
    origin, prefix = _cut(base)
    path, rest = _path(target)
    advice = "let the proxy pass the path on as it is, or set ROUTER_PUBLIC_URL with the path that is at Twilio"
    for other in dict.fromkeys(each.rstrip("/") for each in ("", *seen.prefixes, *_PREFIXES)):
        if other != prefix:
            difference = f"with {other} in front of the path" if other else f"without {prefix} in front of the path"
            finding = Finding("path_prefix", f"Twilio signed a URL {difference}", advice)
            yield from _each(origin, other + path + rest, finding)
    segments = path.split("/", _SEGMENTS)
    for n in range(2, len(segments)):
        shorter = "/" + "/".join(segments[n:])
        found = f"Twilio signed the path {shorter[:100]}; on the way it became {path[:100]}"
        yield from _each(origin, shorter + rest, Finding("path_prefix", found, advice))


def slashes(base: str, target: str) -> Iterator[Deviation[str]]:
    """Add a slash at the end of the path, or remove it."""
    path, rest = _path(target)
    ends = path.endswith("/")
    found = f"Twilio signed the path {'without' if ends else 'with'} a slash at its end; it was received "
    found += "with one" if ends else "without"
    advice = f"write the webhook at Twilio as {_cut(base)[1]}{path[:100]}, or let the proxy keep the path as it is"
    slashed = path.removesuffix("/") if ends else path + "/"
    yield from _each(base, slashed + rest, Finding("trailing_slash", found, advice))


def escapes(base: str, target: str) -> Iterator[Deviation[str]]:
    """Change the escapes of path and query: the signature covers the bytes of the URL."""
    finding = Finding(
        "query_encoding",
        "Twilio signed the URL with other escapes (%20 and +, %2F and /, letters' case) than were received",
        "let the proxy pass path and query on byte for byte, or write the webhook at Twilio without escapes",
    )
    whole = target.partition("#")[0]
    path, mark, query = whole.partition("?")
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
    for other in dict.fromkeys(others):
        if other != whole:
            # Characters that are no longer ASCII were UTF-8 in the URL, which signed_urls takes byte by byte.
            yield from _each(base, other.encode("utf-8", "surrogateescape").decode("latin-1"), finding)


def queries(base: str, target: str) -> Iterator[Deviation[str]]:
    """Remove one parameter of the query, or all of them; or add a bare `?` that may have been lost."""
    path, mark, query = target.partition("#")[0].partition("?")
    advice = "let the proxy pass the query on as it is"
    if not mark:
        found = "Twilio signed the URL with a bare ? at its end"
        yield from _each(base, f"{path}?", Finding("query", found, advice))
        return
    pairs = query.split("&")
    if len(pairs) > 1:
        found = "Twilio signed the URL without its query, which was added later"
        yield from _each(base, path, Finding("query", found, advice))
    for n, pair in enumerate(pairs[:_PARAMETERS]):
        without = "&".join([*pairs[:n], *pairs[n + 1 :]])
        found = f"Twilio signed the URL without {pair.partition('=')[0][:40]!r} in its query: "
        finding = Finding("query", found + "a program between Twilio and the router added it", advice)
        yield from _each(base, f"{path}{'?' * bool(without)}{without}", finding)


def _each(base: str, target: str, finding: Finding) -> Iterator[Deviation[str]]:
    for url in exact(base, target):
        yield Deviation(url, (finding,))


def _cut(base: str) -> tuple[str, str]:
    """Return a base's scheme and host, and its path."""
    scheme, mark, rest = base.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host}", f"{slash}{path}".rstrip("/")


def _path(target: str) -> tuple[str, str]:
    """Return a target's path, and its query with the `?`."""
    path, mark, query = target.partition("#")[0].partition("?")
    return path, mark + query
