import pytest

from tests.core.samples import AC
from tests.e2e.service import ACCOUNT, BASE
from tests.e2e.world import World
from tests.web.accounts import SAMPLES_TOKEN, SHARED_SECRET
from tests.web.console import HERE, PASSWORD, READING, Person, signed_in, text_of


@pytest.fixture(autouse=True)
def forgive(world: World) -> None:
    """Forget the sign-in attempts of earlier tests, which come from the same address."""
    for key in world.call("KEYS", "attempts:*"):
        world.call("DEL", key)


def test_the_console_needs_a_password(world: World) -> None:
    """A page without a session leads to sign-in and then back; a wrong password is refused."""
    stranger = Person(world)
    reply = stranger.get(f"{HERE}/messages?status=queued")
    assert reply.status == 303
    assert reply.headers["Location"].endswith(
        f"/console/sign-in?next=%2Fconsole%2F{ACCOUNT}%2Fmessages%3Fstatus%3Dqueued"
    )
    form = stranger.follow(reply)
    assert form.status == 200
    assert b"not one of the passwords" in stranger.sign_in("something else").body
    assert not stranger.cookie
    reply = stranger.sign_in(next=f"{HERE}/messages?status=queued")
    assert reply.headers["Location"].endswith(f"{HERE}/messages?status=queued")
    assert "Messages" in text_of(stranger.follow(reply))


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/console/", "/\\evil.example", "/v1/", "x"]
)
def test_signing_in_never_redirects_to_another_site(world: World, elsewhere: str) -> None:
    """After sign-in, a `next` outside the console leads to the console's start page."""
    assert Person(world).sign_in(next=elsewhere).headers["Location"] == "/console/"


def test_wrong_passwords_are_slowed(world: World) -> None:
    """After ten wrong passwords in a minute each attempt is 429 until the minute is over."""
    guesser = Person(world)
    assert [guesser.sign_in(f"guess {n}").status for n in range(11)] == [403] * 10 + [429]
    reply = guesser.sign_in(PASSWORD)
    assert reply.status == 429
    assert 0 < int(reply.headers["Retry-After"]) <= 60
    counters = world.call("KEYS", "attempts:*")
    for key in counters:
        world.call("EXPIRE", key, int(world.call("TTL", key)) - 40)  # 40 s pass
    reply = guesser.sign_in(PASSWORD)
    assert reply.status == 429
    assert 0 < int(reply.headers["Retry-After"]) <= 20, "the attempts meanwhile do not begin a new minute"
    for key in counters:
        world.call("EXPIRE", key, int(world.call("TTL", key)) - 20)  # the minute is over
    assert guesser.sign_in(PASSWORD).status == 303
    assert [int(world.call("GET", key)) for key in counters] == [0, 0]


def test_the_cookie_is_for_this_host_only(world: World) -> None:
    """Over TLS the cookie has the __Host- prefix; over plain HTTP it is SameSite=Strict and the page warns."""
    behind = Person(world, headers={"Host": "router.example.com", "Origin": BASE})
    cookie = behind.sign_in().headers["Set-Cookie"]
    assert cookie.startswith("__Host-router=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert b"plain HTTP" not in behind.get(f"{HERE}/").body
    plain = Person(world, headers={"Host": "192.168.7.7:8000", "Origin": "http://192.168.7.7:8000"})
    cookie = plain.sign_in().headers["Set-Cookie"]
    assert cookie.startswith("router_session=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))
    assert b"plain HTTP" in plain.get(f"{HERE}/").body
    assert b"plain HTTP" not in signed_in(world).get(f"{HERE}/").body


def test_the_store_has_neither_session_ids_nor_passwords(world: World) -> None:
    """The store holds neither the cookie's session id nor a password."""
    person = signed_in(world)
    id_ = person.cookie.partition("=")[2]
    keys = [key for key in world.call("KEYS", "session:*") if b"sessions" not in key]
    kept = b" ".join([*keys, *(value for key in keys for value in world.call("HGETALL", key))])
    assert id_.encode() not in kept
    assert PASSWORD.encode() not in kept
    assert all(0 < world.call("TTL", key) <= 12 * 3600 for key in keys)


def test_signing_out_ends_the_session(world: World) -> None:
    """After signing out the session's cookie is no longer valid; other sessions are."""
    leaving, staying = signed_in(world), signed_in(world)
    kept = leaving.cookie
    assert leaving.post("/console/sign-out").status == 303
    assert not leaving.cookie
    assert Person(world, kept).get(f"{HERE}/").status == 303
    assert staying.get(f"{HERE}/").status == 200


def test_signing_out_everywhere_ends_all_sessions(world: World) -> None:
    """The admin, but not a viewer, can end all sessions, which is logged."""
    admin, viewer = signed_in(world), signed_in(world, READING)
    assert viewer.post("/console/sign-out", {"everywhere": "1"}).status == 403
    assert admin.post("/console/sign-out", {"everywhere": "1"}).status == 303
    assert viewer.get(f"{HERE}/").status == 303
    again = signed_in(world)
    assert "signed out everywhere" in text_of(again.get(f"{HERE}/changes"))


def test_a_session_ends_after_seven_days(world: World) -> None:
    """A session ends after seven days, and the next page leads to sign-in."""
    person = signed_in(world)
    for each in world.call("KEYS", "session:{0}:*"):
        created = int(world.call("HGET", each, "created"))
        world.call("HSET", each, "created", created - 7 * 86_400 * 1_000_000)
    reply = person.get(f"{HERE}/changes")
    assert reply.status == 303
    assert b"session has ended" in person.follow(reply).body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"X-Nothing": "said"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": BASE}, 303),
    ],
)
def test_a_form_from_another_site_is_403(world: World, headers: dict[str, str], status: int) -> None:
    """A form without the headers of a same-origin page is 403."""
    person = signed_in(world)
    person.headers = headers
    assert person.post(f"{HERE}/reveal", {"reveal": "1"}).status == status


def test_a_host_name_that_is_not_trusted_is_403(world: World) -> None:
    """A request with a host name that is not trusted (DNS rebinding) is 403, the sign-in form included."""
    person = signed_in(world)
    person.headers = {"Host": "rebound.example:8000"}
    for path in ("/console/sign-in", f"{HERE}/"):
        reply = person.get(path)
        assert reply.status == 403
        assert b"is not trusted" in reply.body


def test_a_viewer_reads_and_changes_nothing(world: World) -> None:
    """A viewer can open the pages, which offer no action but signing out; actions are 403."""
    viewer = signed_in(world, READING)
    for path in ("", "messages", "changes", "settings", "health", "explain", "signatures"):
        page = viewer.get(f"{HERE}/{path}")
        assert page.status == 200
        assert page.body.count(b'method="post"') == 1, path  # the form for signing out
    for path in (f"{HERE}/reveal", f"{HERE}/messages/{world.sid()}/replay"):
        assert viewer.post(path).status == 403


def test_accounts_see_nothing_of_each_other(world: World) -> None:
    """The pages of one account show nothing of another; its messages and unknown accounts are 404."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name="Umbrella")
    sent = world.text(flow, Body="about parasols")
    admin = signed_in(world)
    assert "about parasols" in text_of(admin.get(f"{HERE}/messages"))
    for path in ("", "messages", "changes", "settings", "health", "signatures"):
        page = admin.get(f"/console/{AC}/{path}")
        assert page.status == 200
        assert b"Umbrella" not in page.body, path
        assert b"parasols" not in page.body, path
        assert ACCOUNT.encode() not in page.body, path
    assert admin.get(f"/console/{AC}/messages/{sent.sid}").status == 404
    assert admin.get(f"/console/AC{'e' * 32}/messages").status == 404
    listed = text_of(admin.get("/console/accounts"))
    assert ACCOUNT in listed
    assert AC in listed


def test_every_answer_has_security_headers(world: World) -> None:
    """Each page, error and file has the security headers, and only files may be cached."""
    person = signed_in(world)
    page = person.get(f"{HERE}/")
    style = page.body.decode().partition('rel="stylesheet" href="')[2].partition('"')[0]
    replies = [page, person.get(f"{HERE}/nothing"), person.get(style), Person(world).get("/console/sign-in")]
    for reply in replies:
        policy = reply.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "same-origin"
    assert [reply.headers["Cache-Control"] for reply in replies] == [
        "no-store",
        "no-store",
        "public, max-age=31536000, immutable",
        "no-store",
    ]
    assert replies[1].status == 404
    assert person.get("/console/static/console.css").status == 404


def test_the_settings_page_shows_no_secret(world: World) -> None:
    """The settings page says that a secret is set, and shows no password, token or store URL."""
    page = signed_in(world).get(f"/console/{AC}/settings")
    said = text_of(page)
    assert "ROUTER_ADMIN_PASSWORD set" in said
    for secret in (PASSWORD, READING, SAMPLES_TOKEN, SHARED_SECRET, world.valkey.url):
        assert secret not in page.body.decode()
