"""What an unauthenticated request costs in memory and steps."""

import io
import sys
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import gevent
import pytest
from flask import Request
from twilio.request_validator import RequestValidator

from router.message.owner import MOST
from router.settings import Account, Settings
from router.settings.account import ApiKey
from router.web.auth import Unauthenticated, identify
from router.web.recorder import WAITING
from tests.e2e.world import FORM
from tests.steps import counted
from tests.valkey import ValkeyServer
from tests.web.rest import BASE, ONE, TOKENS, Rest, rest_over

KIB: Final = 1024
# A request line of 64 KiB takes about 30 bytes of memory for each of its bytes.
SMALL: Final = 2048 * KIB
FIELDS: Final = {"AccountSid": ONE, "MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered"}
FORGED: Final = {"HTTP_X_TWILIO_SIGNATURE": "A" * 27 + "="}
MANY: Final = 300
ACCOUNTS: Final = "".join(f'[[account]]\nsid = "AC{n:032x}"\nauth_tokens = ["{n:032x}"]\n' for n in range(MANY))


def request(method: str, target: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    """Make a request's WSGI environment."""
    path, _, query = target.partition("?")
    given = {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": FORM} if body else {}
    return {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": "router.example.com",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
    } | (given | headers)


def sent(rest: Rest, environ: Mapping[str, Any]) -> tuple[int, int]:
    """Send a request and wait for its background work; return the status and the peak memory in bytes."""
    status: list[str] = []

    def start(line: str, *_: object) -> Callable[[bytes], object]:
        status.append(line)
        return len

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        b"".join(rest.app(dict(environ), start))
        gevent.sleep(0.01)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return int(status[0][:3]), most - before


@pytest.fixture
def rest(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Rest]:
    """The application over an empty store, after a first request that loads what all requests use."""
    with rest_over(valkey, tmp_path) as made:
        sent(made, request("GET", "/healthz"))
        yield made


def form(*more: bytes) -> bytes:
    """Return the form of an account of ours."""
    return b"&".join((urlencode(FIELDS).encode(), *more))


REQUESTS: dict[str, tuple[Callable[[], dict[str, Any]], int]] = {
    "slashes": (lambda: request("POST", f"/{'/' * 65_000}webhooks/sms", form(), **FORGED), 403),
    "segments": (lambda: request("POST", f"{'/ab' * 21_000}/webhooks/sms", form(), **FORGED), 404),
    "a query, and what proxies say": (
        lambda: request(
            "POST",
            f"/webhooks/sms?{'a=%41+b%2f&' * 499}{'x' * 59_000}",
            form(),
            HTTP_X_FORWARDED_HOST=",".join(f"{'h' * 200}{n}" for n in range(40)),
            HTTP_X_ORIGINAL_HOST=",".join(f"{'o' * 200}{n}" for n in range(40)),
            HTTP_X_FORWARDED_PORT=",".join(map(str, range(9000, 10_000))),
            HTTP_X_FORWARDED_PREFIX=",".join(f"/p{n}" for n in range(1000)),
            **FORGED,
        ),
        403,
    ),
    "a query of many parameters": (
        lambda: request("POST", f"/webhooks/sms?lang=&{'a=b&' * 16_000}", form(), **FORGED),
        413,
    ),
    "500 fields": (
        lambda: request(
            "POST", "/webhooks/sms", form(*(b"n%d=%%41%s" % (n, b"x" * 240) for n in range(490))), **FORGED
        ),
        403,
    ),
    "501 fields": (lambda: request("POST", "/webhooks/sms", form(b"a&" * 60_000), **FORGED), 413),
    "a body that is no form": (
        lambda: request(
            "POST",
            f"/webhooks/sms?bodySHA256=a&x={'y' * 60_000}",
            b"AC" * 65_000,
            **(FORGED | {"CONTENT_TYPE": "application/json"}),
        ),
        403,
    ),
    "a signature's header": (
        lambda: request("POST", "/webhooks/sms", form(), HTTP_X_TWILIO_SIGNATURE="%41" * 2_700),
        403,
    ),
    "a key's header": (
        lambda: request(
            "POST", "/webhooks/sms", form(), HTTP_X_TWILIO_WEBHOOKS_SIGNATURE_SETTINGS="a=,b" * 2_000, **FORGED
        ),
        403,
    ),
    "cookies": (lambda: request("POST", "/webhooks/sms", form(), HTTP_COOKIE="a=b;" * 2_000, **FORGED), 403),
    "a host": (lambda: request("POST", "/webhooks/sms", form(), **(FORGED | {"HTTP_HOST": "a@" * 4_000})), 403),
    "a path prefix": (lambda: request("POST", "/x/webhooks/sms", form(b"Body=" + b"x" * 120_000), **FORGED), 404),
    "a password": (
        lambda: request("GET", "/v1/FlexFlows", HTTP_AUTHORIZATION=f"Basic {'QUFB' * 2_000}"),
        401,
    ),
    "a REST query": (lambda: request("GET", f"/v1/FlexFlows?{'a=b&' * 16_000}"), 401),
    "a REST form": (lambda: request("POST", "/v1/FlexFlows", b"a=b&" * 120_000), 401),
}


@pytest.mark.parametrize("label", REQUESTS)
def test_a_strangers_request_takes_little_memory(rest: Rest, label: str) -> None:
    """Any unauthenticated request takes at most 2 MiB of memory, its record for the doctor included."""
    make, wanted = REQUESTS[label]
    status, most = sent(rest, make())
    assert (status, most < SMALL) == (wanted, True), f"{most / KIB:,.0f} KiB"


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_forged_message_takes_what_a_signed_one_takes(rest: Rest, method: str) -> None:
    """The largest allowed message takes about as much memory with a wrong signature as with the right one."""
    fields = FIELDS | {"Body": "\N{EURO SIGN}" * (14_000 if method == "POST" else 7_000)}
    body = urlencode(fields)
    target = "/webhooks/sms" if method == "POST" else f"/webhooks/sms?{body}"
    signature = RequestValidator(TOKENS[ONE]).compute_signature(BASE + target, fields if method == "POST" else {})

    def peak(header: str) -> tuple[int, int]:
        sending = body.encode() if method == "POST" else b""
        return sent(rest, request(method, target, sending, HTTP_X_TWILIO_SIGNATURE=header))

    taken, signed = peak(signature)
    refused, forged = peak(FORGED["HTTP_X_TWILIO_SIGNATURE"])
    assert (taken, refused) == (200, 403)
    assert forged <= signed + 128 * KIB


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (REQUESTS["a body that is no form"][0], MOST),
        (REQUESTS["500 fields"][0], 2),
        (REQUESTS["a signature's header"][0], 0),
        (lambda: request("POST", "/webhooks/sms", form()), 0),
    ],
    ids=["no form", "form", "no signature's length", "no signature"],
)
def test_a_forged_request_computes_a_bounded_number_of_signatures(
    valkey: ValkeyServer, tmp_path: Path, make: Callable[[], dict[str, Any]], most: int
) -> None:
    """For a forged request only a few accounts' keys are tried, however many accounts there are."""
    with rest_over(valkey, tmp_path, more=ACCOUNTS) as rest:
        sent(rest, request("GET", "/healthz"))
        with counted() as steps:
            b"".join(rest.app(make(), lambda *_: len))
    forms, tokens = 2, 2
    assert steps.hmacs <= most * forms * tokens


def test_a_flood_is_written_in_a_few_records_a_second(valkey: ValkeyServer, tmp_path: Path) -> None:
    """Forged requests in the names of 300 accounts leave only a few records."""
    with rest_over(valkey, tmp_path, more=ACCOUNTS) as rest:
        for number in [*range(MANY), *range(MANY)]:
            body = urlencode(FIELDS | {"AccountSid": f"AC{number:032x}"}).encode()
            b"".join(rest.app(request("POST", "/webhooks/sms", body, **FORGED), lambda *_: len))
        gevent.sleep(0.1)
        kept = rest.store.refusals.newest()
    assert 0 < len(kept) <= 1 + WAITING  # the first one is written at once
    assert all(each.others <= 1 for each in kept)


def settings(number: int) -> Settings:
    """Make settings of `number` accounts, each with three API keys."""
    return Settings(
        accounts=tuple(
            Account(
                sid=f"AC{n:032x}",
                auth_tokens=(f"{n:032x}",),
                api_keys=tuple(ApiKey(sid=f"SK{n:030x}{key:02x}", secret="s" * 32) for key in range(3)),
            )
            for n in range(number)
        )
    )


@pytest.mark.parametrize("user", ["AC" + "0" * 32, "SK" + "0" * 32, "AC" + "f" * 32, "SK" + "f" * 32, ""])
def test_a_wrong_password_costs_the_same_in_any_settings(user: str) -> None:
    """A wrong password costs as many steps with one account as with a thousand, whatever the user name."""
    basic = b64encode(f"{user}:{'x' * 32}".encode()).decode()

    def cost(given: Settings) -> int:
        def attempt() -> None:
            with pytest.raises(Unauthenticated):
                identify(Request(request("GET", "/v1/FlexFlows", HTTP_AUTHORIZATION=f"Basic {basic}")), given)

        def lines() -> int:
            with counted() as steps:
                attempt()
            return steps.lines

        attempt()  # the first attempt makes the tables
        return min(lines() for _ in range(3))  # finalizers of other objects may run meanwhile

    assert cost(settings(1)) == cost(settings(1000))
