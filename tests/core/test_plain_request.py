"""The worker's own fast parser reads a request as gunicorn's parser does, or leaves it to gunicorn."""

from io import BytesIO
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from hypothesis import example, given
from hypothesis import strategies as st

from router.process.plain_request import HEAD_MOST, connection_variables, plain_request
from router.process.worker import has_fast_path

_HEADERS = (
    b"Host: sms.example.com",
    b"Content-Type: application/x-www-form-urlencoded; charset=UTF-8",
    b"X-Twilio-Signature: abc/def+ghi=",
    b"I-Twilio-Idempotency-Token: 5f1a",
    b"User-Agent: TwilioProxy/1.1",
    b"Cookie: a=1; b=2",
    b"Accept: */*",
)
_BODY = b"Body=Hola&From=%2B15551230000"
_ODD = (
    b"Connection: close",
    b"Connection: Keep-Alive",
    b"connection: upgrade",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b"Content-Length: 3",
    b"Content-Length: +29",
    b"Content-Length: 29, 29",
    b"Host: other.example.com",
    b"X_Forwarded_Host: evil.example",
    b"X-Forwarded-Proto: https",
    b"X-Empty:",
    b"X-Blank:   ",
    b"X-Tab:\tone\t",
    b"X-Inside: a\tb",
    b"X-Latin: \xe9",
    b"X-Null: \x00",
    b"X-Bare: a\nX-Second: b",
    b" folded",
    b"Bad Name: 1",
    b"Colon : 1",
    b": none",
    b"nothing",
    b"X-Long: " + b"a" * 9000,
    b"Script-Name: /webhooks",
    b"TE: trailers",
)
_TARGETS = (
    b"/webhooks/sms",
    b"/webhooks/whatsapp?lang=es&x=%C3%A9",
    b"/webhooks/sms?",
    b"/webhooks/sms?a?b",
    b"/webhooks/sms?a#b",
    b"/webhooks/sms#b",
    b"//webhooks/sms",
    b"/webhooks/sms/",
    b"/webhooks/%73ms",
    b"/webhooks/sms?a=\xe9",
    b"/webhooks/sms?a b",
    b"/webhooks/sms?a=[1]:@//x",
    b"http://sms.example.com/webhooks/sms",
    b"*",
)


def _config() -> Config:
    """Gunicorn's configuration, with the values of router.process.gunicorn_conf that matter here."""
    config = Config()
    for name, value in {"forwarded_allow_ips": "", "limit_request_fields": 64, "limit_request_line": 8190}.items():
        config.set(name, value)
    return config


_CONFIG = _config()


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """Draw nearly valid requests: typical and odd headers, right and wrong lengths, up to three bytes changed."""
    lines = [
        b" ".join(
            (
                draw(st.sampled_from([b"POST"] * 9 + [b"GET", b"post"])),
                draw(st.sampled_from(_TARGETS)),
                draw(st.sampled_from([b"HTTP/1.1"] * 4 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1"])),
            )
        )
    ]
    headers = [
        *draw(st.lists(st.sampled_from(_HEADERS), unique=True)),
        *draw(st.lists(st.sampled_from(_ODD), max_size=2)),
    ]
    headers.append(b"Content-Length: %d" % (len(_BODY) + draw(st.sampled_from([0, 0, 0, 1, -1]))))
    lines += draw(st.permutations(headers))
    text = bytearray(draw(st.sampled_from([b"\r\n"] * 9 + [b"\n"])).join((*lines, b"", b"")) + _BODY)
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        text[draw(st.integers(0, len(text) - 1))] = draw(st.integers(0, 255))
    return bytes(text)


def _by_gunicorn(data: bytes) -> tuple[dict[str, Any], bytes, bool, bytes]:
    """Read a request with gunicorn; return its environment, its body, whether it closes, and the rest of the data."""
    parser = RequestParser(_CONFIG, iter([data]), ("192.0.2.1", 5000))
    request = next(parser)
    response, environ = create(request, None, ("192.0.2.1", 5000), ("127.0.0.1", 8000), _CONFIG)
    body = environ["wsgi.input"].read()
    return environ, body, response.req.should_close(), parser.unreader.take_buffered()


@given(_requests())
@example(b"POST /webhooks/sms HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
def test_the_fast_parser_agrees_with_gunicorn(data: bytes) -> None:
    """A request that the fast parser reads has the environment, body and `close` that gunicorn reads."""
    plain = plain_request(data, 64)
    if plain is None:
        return
    if plain.missing:  # gunicorn gets the same bytes and waits for the rest
        data += b"x" * plain.missing
        plain = plain_request(data, 64)
        assert plain is not None
    environ, body, closes, left = _by_gunicorn(data)
    ours = {name: value for name, value in environ.items() if name.isupper() and name not in _OF_THE_CONNECTION}
    assert plain.variables == ours
    assert (plain.body, plain.closes, left) == (body, closes, b"")


_OF_THE_CONNECTION = {"SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "REMOTE_ADDR", "REMOTE_PORT"}


@pytest.mark.parametrize("host", ["sms.example.com", "sms.example.com:8443", "[::1]:80", "", None])
@pytest.mark.parametrize(
    ("server", "client"),
    [
        (("127.0.0.1", 8000), ("192.0.2.1", 5000)),
        (("::1", 8000, 0, 0), ("::2", 5000, 0, 0)),
        ("/run/router.sock", ""),
        ("/run/a:1:2", ""),
    ],
    ids=["IPv4", "IPv6", "unix socket", "unix socket with colons"],
)
def test_connections_are_described_as_gunicorn_does(server: Any, client: Any, host: str | None) -> None:
    """The variables of the connection are gunicorn's, also on a unix socket."""
    headers = b"" if host is None else b"Host: %s\r\n" % host.encode()
    parser = RequestParser(_CONFIG, iter([b"POST /webhooks/sms HTTP/1.1\r\n%s\r\n" % headers]), client)
    _, environ = create(next(parser), None, client, server, _CONFIG)
    theirs = {name: said for name, said in environ.items() if name in _OF_THE_CONNECTION - {"SERVER_SOFTWARE"}}
    assert connection_variables(server, client, host or "") == theirs


def _written(*headers: bytes, target: bytes = b"/webhooks/sms", body: bytes = _BODY) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"POST " + target + b" HTTP/1.1", *_HEADERS, *headers, length, b"", body))


@pytest.mark.parametrize(
    "header", [b"Connection: close", b"Connection: keep-alive", b"X-Empty:", b"X-Forwarded-For: ::1"]
)
def test_the_fast_parser_reads_a_typical_webhook(header: bytes) -> None:
    """The fast parser reads a webhook as Twilio and proxies send it."""
    plain = plain_request(_written(header, target=b"/webhooks/sms?lang=es"), 64)
    assert plain is not None
    assert (plain.body, plain.missing) == (_BODY, 0)
    assert plain.variables["QUERY_STRING"] == "lang=es"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_written() + b"POST /", id="a second request"),
        pytest.param(_written(*(b"X-%d: 1" % n for n in range(70))), id="too many fields"),
        pytest.param(_written(b"X: " + b"a" * HEAD_MOST), id="a long head"),
        *(pytest.param(_written(each), id=repr(each[:24])) for each in _ODD[2:7] + _ODD[8:11] + _ODD[14:24]),
    ],
)
def test_the_fast_parser_leaves_an_ambiguous_request_to_gunicorn(data: bytes) -> None:
    """The fast parser leaves an ambiguous request to gunicorn, to prevent request smuggling."""
    assert plain_request(data, 64) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accesslog", "-"),
        ("forwarded_allow_ips", "127.0.0.1"),
        ("proxy_protocol", "auto"),
        ("pre_request", lambda _, __: None),
        ("post_request", lambda _, __: None),
        ("limit_request_line", 1000),
        ("header_map", "dangerous"),
        ("http2_cleartext", "upgrade"),
    ],
)
def test_an_operators_own_gunicorn_setting_disables_the_fast_parser(name: str, value: Any) -> None:
    """A gunicorn setting that the fast parser does not support disables it."""
    config = _config()
    assert has_fast_path(config)
    config.set(name, value)
    assert not has_fast_path(config)


def test_a_body_may_come_later() -> None:
    """For a body that is still incomplete, the number of missing bytes is returned."""
    data = _written()
    plain = plain_request(data[:-10], 64)
    assert plain is not None
    assert plain.missing == 10
    assert BytesIO(plain.body).read() == _BODY[:-10]
