import re
import subprocess
import sys
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import SettingsError
from router.settings import Account, Settings, load
from router.settings.documentation import table
from router.settings.handler import ECHO, HandlerSetting

AC, OTHER = "AC" + "0" * 32, "AC" + "1" * 32
CONFIG = Path(__file__).parents[2] / "config"


def _file(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "router.toml"
    path.write_text(text, encoding="utf-8")
    return {"ROUTER_CONFIG": str(path)}


def _account(sid: str = AC, more: str = "") -> str:
    return f'[[account]]\nsid = "{sid}"\nauth_tokens = ["token"]\n{more}\n'


def test_no_setting_is_required() -> None:
    """Without any setting the main defaults hold, and there is no account."""
    settings = load({})
    assert settings.accounts == ()
    assert (settings.bind, settings.redis_url, settings.data_dir) == ("127.0.0.1:8000", None, Path("var"))
    assert (settings.lease_seconds, settings.attempt_seconds, settings.relay_seconds) == (30, 22, 10)
    assert settings.retry_delays == (1, 5, 15, 60, 300)
    assert settings.workers >= 1


def test_one_account_from_the_environment() -> None:
    """TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN configure one account."""
    settings = load({"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": "token"})
    assert settings.account(AC) == Account(sid=AC, auth_tokens=("token",))
    assert settings.account(OTHER) is None


def test_many_accounts_from_the_file(tmp_path: Path) -> None:
    """The file's tables give accounts their tokens, shared keys, API keys and Proxy service."""
    shared = '[[account.shared_keys]]\nid = "webhooks_sharedkey_1"\nalgorithm = "HMAC_SHA256"\nsecret = "s1"\n'
    key = f'[[account.api_keys]]\nsid = "SK{"2" * 32}"\nsecret = "{"s2" * 8}"\n'
    first = _account(more=f'proxy_service_sid = "KS{"3" * 32}"\n{shared}{key}')
    settings = load(_file(tmp_path, first + _account(OTHER)))
    account = settings.accounts[0]
    assert [each.sid for each in settings.accounts] == [AC, OTHER]
    assert account.shared_keys[0].algorithm == "HMAC_SHA256"
    assert account.api_keys[0].secret == "s2" * 8
    assert account.proxy_service_sid == "KS" + "3" * 32


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable wins over the file, and an empty one counts as not set."""
    environ = _file(tmp_path, 'lease_seconds = 20\ndeliveries = 8\npublic_url = "https://a.example/"\n')
    settings = load(environ | {"ROUTER_LEASE_SECONDS": "40", "ROUTER_DELIVERIES": ""})
    assert (settings.lease_seconds, settings.deliveries) == (40, 8)
    assert settings.public_urls == ("https://a.example",)


def test_the_environments_token_comes_before_the_tables(tmp_path: Path) -> None:
    """An account in both places keeps its table, and the environment's token comes before the table's."""
    environ = _file(tmp_path, _account(OTHER) + _account(more=f'proxy_service_sid = "KS{"3" * 32}"'))
    settings = load(environ | {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": "newer"})
    assert [each.sid for each in settings.accounts] == [AC, OTHER]
    assert settings.accounts[0].auth_tokens == ("newer", "token")
    assert settings.accounts[0].proxy_service_sid == "KS" + "3" * 32


def test_a_switch_is_true_or_false(tmp_path: Path) -> None:
    """A switch is `true` or `false` in any letter case; in the file it may also be TOML's boolean."""
    for text in ("allow_volatile_store = true", 'allow_volatile_store = "True"'):
        assert load(_file(tmp_path, text)).allow_volatile_store
        assert not load(_file(tmp_path, text) | {"ROUTER_ALLOW_VOLATILE_STORE": "false"}).allow_volatile_store


def test_lists_are_comma_separated_in_the_environment() -> None:
    """Lists in the environment are comma separated; spaces and a comma at the end are ignored."""
    settings = load(
        {
            "ROUTER_PUBLIC_URL": "https://a.example, http://b.example:8080/base/",
            "ROUTER_ALLOWED_NETWORKS": "10.0.0.0/8,::1",
            "ROUTER_RETRY_DELAYS": "0.5, 2,",
        }
    )
    assert settings.public_urls == ("https://a.example", "http://b.example:8080/base")
    assert settings.allowed_networks == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.retry_delays == (0.5, 2)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_from_a_file(tmp_path: Path, end: str) -> None:
    """NAME_FILE reads a secret from a file, without the line end."""
    path = tmp_path / "secret"
    path.write_bytes(f"hush-hush-hush{end}".encode())
    environ = {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN_FILE": str(path), "ROUTER_ADMIN_PASSWORD_FILE": str(path)}
    settings = load(environ)
    assert settings.accounts[0].auth_tokens == ("hush-hush-hush",)
    assert settings.admin_password == "hush-hush-hush"
    assert load(_file(tmp_path, f'admin_password_file = "{path}"')).admin_password == "hush-hush-hush"


def test_echo_is_built_in_and_may_be_replaced(tmp_path: Path) -> None:
    """The handler `echo` is built in, and a handler of that name in the file replaces it."""
    assert load({}).handlers == {"echo": HandlerSetting(path=ECHO)}
    own = load(_file(tmp_path, '[handlers]\necho = "shop:echo"\n'))
    assert own.handlers == {"echo": HandlerSetting(path="shop:echo")}


def test_handlers_may_be_for_some_accounts(tmp_path: Path) -> None:
    """A handler is a path, or a path with the accounts whose flows may name it."""
    own = f'own = {{ path = "shop:handle", accounts = ["{AC}"] }}'
    handlers = f'[handlers]\necho = "router.demo:handle"\n{own}\n'
    settings = load(_file(tmp_path, handlers + _account() + _account(OTHER)))
    assert settings.handlers["echo"] == HandlerSetting(path="router.demo:handle")
    assert settings.handlers_of(AC) == {"echo", "own"}
    assert settings.handlers_of(OTHER) == {"echo"}


@pytest.mark.parametrize(
    ("environ", "name", "says"),
    [
        pytest.param(
            {"ROUTER_LEAS_SECONDS": "9"}, "ROUTER_LEAS_SECONDS", "did you mean ROUTER_LEASE_SECONDS", id="typo"
        ),
        pytest.param({"ROUTER_PORT": "80"}, "ROUTER_PORT", "no such setting", id="a port that is not Kubernetes'"),
        pytest.param({"ROUTER_HANDLERS": "x"}, "ROUTER_HANDLERS", "no such setting", id="only in the file"),
        pytest.param({"ROUTER_WORKERS": "many"}, "ROUTER_WORKERS", "'many'", id="not a number"),
        pytest.param({"ROUTER_LEASE_SECONDS": "8.5"}, "ROUTER_LEASE_SECONDS", "9", id="lease shorter than an attempt"),
        pytest.param({"ROUTER_LEASE_SECONDS": "nan"}, "ROUTER_LEASE_SECONDS", "finite", id="not finite"),
        pytest.param(
            {"ROUTER_RELAY_SECONDS": "15"}, "ROUTER_RELAY_SECONDS", "less than 15", id="relay longer than Twilio waits"
        ),
        pytest.param({"ROUTER_DELIVERIES": "3"}, "ROUTER_DELIVERIES", "4", id="too few deliveries"),
        pytest.param({"ROUTER_RETRY_DELAYS": ","}, "ROUTER_RETRY_DELAYS", "at least 1", id="no delay"),
        pytest.param({"ROUTER_RETRY_DELAYS": "1,x"}, "ROUTER_RETRY_DELAYS", "'x'", id="an invalid delay"),
        pytest.param({"ROUTER_REDIS_URL": "http://x"}, "ROUTER_REDIS_URL", "redis+sentinel://", id="not a store"),
        pytest.param({"ROUTER_REDIS_URL": "redis://h:99999/0"}, "ROUTER_REDIS_URL", "port", id="no port of a store"),
        pytest.param({"ROUTER_REDIS_URL": "redis://:a/b@h"}, "ROUTER_REDIS_URL", "percent", id="a slash in a password"),
        pytest.param({"ROUTER_REDIS_URL": "redis+sentinel://h:x/m"}, "ROUTER_REDIS_URL", "port", id="no Sentinel port"),
        pytest.param({"ROUTER_REDIS_URL": "rediss+sentinel://h"}, "ROUTER_REDIS_URL", "service", id="no service"),
        pytest.param({"ROUTER_PUBLIC_URL": "a.example"}, "ROUTER_PUBLIC_URL", "absolute", id="no scheme"),
        pytest.param({"ROUTER_PUBLIC_URL": "https://a/?b"}, "ROUTER_PUBLIC_URL", "query", id="a query"),
        pytest.param({"ROUTER_PUBLIC_URL": "https://a/#b"}, "ROUTER_PUBLIC_URL", "fragment", id="a fragment"),
        pytest.param({"ROUTER_BIND": "8000"}, "ROUTER_BIND", "HOST:PORT", id="no host"),
        pytest.param({"ROUTER_BIND": "::1:8000"}, "ROUTER_BIND", "[::1]:8000", id="IPv6 without brackets"),
        pytest.param({"ROUTER_TRUSTED_PROXIES": "10.0.0.1/8"}, "ROUTER_TRUSTED_PROXIES", "host bits", id="network"),
        pytest.param({"TWILIO_ACCOUNT_SID": AC}, "TWILIO_AUTH_TOKEN", "not set", id="no token"),
        pytest.param({"TWILIO_AUTH_TOKEN": "t"}, "TWILIO_ACCOUNT_SID", "not set", id="no account"),
        pytest.param({"ROUTER_CONFIG": "/none.toml"}, "ROUTER_CONFIG", "No such file", id="no file"),
        pytest.param({"ROUTER_REDIS_URL_FILE": "/none"}, "ROUTER_REDIS_URL_FILE", "No such file", id="no secret file"),
        pytest.param(
            {"ROUTER_ADMIN_PASSWORD": "a", "ROUTER_ADMIN_PASSWORD_FILE": "b"},
            "ROUTER_ADMIN_PASSWORD",
            "leave one of them out",
            id="both",
        ),
    ],
)
def test_an_invalid_variable_is_named(environ: dict[str, str], name: str, says: str) -> None:
    """A variable that is unknown or invalid stops the start, with its name and the reason."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert caught.value.name == name
    assert says in caught.value.reason


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        pytest.param("lease_second = 1", "lease_second in", "did you mean lease_seconds", id="typo"),
        pytest.param("lease_seconds = true", "lease_seconds in", "true or false", id="a boolean"),
        pytest.param("allow_volatile_store = 1", "allow_volatile_store in", "neither true nor false", id="no boolean"),
        pytest.param("handlers = 1", "handlers in", "dictionary", id="not a table"),
        pytest.param("account = 1", "account in", "tuple", id="not tables"),
        pytest.param('[handlers]\n"E!" = "a:b"', "handlers in", "pattern", id="a handler's name"),
        pytest.param('[handlers]\necho = "a.b"', "handlers in", "pattern", id="a handler's path"),
        pytest.param(f'[handlers]\ne = {{path = "a:b", accounts = ["{AC}"]}}', "handlers in", "not one of", id="whose"),
        pytest.param(
            '[handlers]\ne = {pat = "a:b"}', "handlers in", "did you mean path", id="a handler whose path is misspelt"
        ),
        pytest.param(_account() + _account(), "account in", "twice", id="an account twice"),
        pytest.param(_account("AC1"), "[[account]] without a valid sid", "32 hexadecimal", id="a SID"),
        pytest.param(f'[[account]]\nsid = "{AC}"', f"[[account]] {AC}, auth_tokens", "missing", id="no token"),
        pytest.param(
            _account(more="auth_token = 1"),
            f"[[account]] {AC}, auth_token",
            "did you mean auth_tokens",
            id="nested typo",
        ),
        pytest.param(
            _account(more=f'api_keys = [{{sid = "SK{"1" * 32}", secret = "{"a" * 16}"}}]')
            + _account(OTHER, f'api_keys = [{{sid = "SK{"1" * 32}", secret = "{"b" * 16}"}}]'),
            "account in",
            "API key's sid is given twice",
            id="an API key of two accounts",
        ),
        pytest.param(
            _account(more='shared_keys = [{id = "k", algorithm = "MD5", secret = "a"}]'),
            f"[[account]] {AC}, shared_keys, algorithm",
            "HMAC_SHA256",
            id="algorithm",
        ),
        pytest.param("= 1", "ROUTER_CONFIG", "not valid TOML", id="not TOML"),
    ],
)
def test_an_invalid_line_of_the_file_is_named(tmp_path: Path, text: str, name: str, says: str) -> None:
    """An unknown or invalid line of the file stops the start, with its place and the reason."""
    with pytest.raises(SettingsError) as caught:
        load(_file(tmp_path, text))
    assert caught.value.name.startswith(name)
    assert says in caught.value.reason


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "tcp://10.0.0.1:80"), ("SERVICE_HOST", "10.0.0.1"), ("PORT_8000_TCP_ADDR", "10.0.0.1")],
)
def test_kubernetes_variables_of_a_service_named_router_are_ignored(name: str, value: str) -> None:
    """The variables that Kubernetes adds for a service named "router" are ignored."""
    assert load({f"ROUTER_{name}": value}) == load({})


SECRET = "s3cr3t-of-many-letters"  # no text may show it


@pytest.mark.parametrize(
    "environ",
    [
        {"TWILIO_ACCOUNT_SID": SECRET, "TWILIO_AUTH_TOKEN": AC},
        {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": SECRET + " x"},
        {"ROUTER_REDIS_URL": f"http://:{SECRET}@h"},
        {"ROUTER_PUBLIC_URL": f"https://me:{SECRET}@a.example/?"},
        {"ROUTER_ADMIN_PASSWORD": SECRET + "\t"},
        {"ROUTER_VIEWER_PASSWORD": SECRET + "\x1b[2J"},
        {"ROUTER_ADMIN_PASSWORD": SECRET, "ROUTER_VIEWER_PASSWORD": SECRET},
    ],
)
def test_errors_show_no_secret(environ: dict[str, str]) -> None:
    """An error shows no secret, also if the secret is in the wrong variable."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.sampled_from(["sid", "auth_tokens", "shared_keys", "api_keys", "x"]), st.sampled_from([SECRET, [SECRET], 1]))
def test_errors_of_accounts_show_no_secret(key: str, value: object) -> None:
    """An error about an account shows none of its values."""
    with pytest.raises(ValueError, match=r".") as caught:
        Settings.model_validate({"accounts": [{key: value}]})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["ROUTER_ADMIN_PASSWORD", "ROUTER_VIEWER_PASSWORD"])
def test_a_short_password_is_refused(name: str) -> None:
    """A console password needs ten characters; the error is the same for each and does not show it."""
    said = set()
    for short in ("pa55", "pa55word!", "1 3 5 7 9"):
        with pytest.raises(SettingsError) as caught:
            load({name: short})
        assert caught.value.name == name
        said.add(caught.value.reason)
    assert said == {"has fewer than 10 characters, so it can be guessed: take several words, with blanks if you like"}
    assert load({name: "pa55word!!"}) != load({})


@pytest.mark.parametrize("name", ["admin_password", "viewer_password"])
def test_a_password_may_contain_spaces_inside(tmp_path: Path, name: str) -> None:
    """A password may contain spaces, but no white space at its ends, tab or NUL."""
    words = "correct horse,  battery stäple"
    for environ in ({f"ROUTER_{name.upper()}": words}, _file(tmp_path, f'{name} = "{words}"')):
        assert getattr(load(environ), name) == words
    for wrong in (f" {words}", f"{words} ", f"{words}\n", "correct\thorse", "correct\x00horse", " " * 12):
        with pytest.raises(SettingsError, match="white space"):
            load({f"ROUTER_{name.upper()}": wrong})


def test_a_short_secret_of_an_api_key_is_refused(tmp_path: Path) -> None:
    """An API key's secret needs 16 characters; the error names the account and does not show the secret."""

    def key(secret: str) -> dict[str, str]:
        return _file(tmp_path, _account(more=f'api_keys = [{{sid = "SK{"1" * 32}", secret = "{secret}"}}]'))

    said = set()
    for short in ("x", "s3cr3t-of-15-le"):
        with pytest.raises(SettingsError) as caught:
            load(key(short))
        assert caught.value.name == f"[[account]] {AC}, api_keys, secret"
        said.add(caught.value.reason)
    (reason,) = said
    assert reason.startswith("has fewer than 16 characters")
    assert load(key("s3cr3t-of-16-let")).accounts[0].api_keys[0].secret == "s3cr3t-of-16-let"


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    """The settings' repr, which may be logged, shows no token, key, password or URL with a password."""
    more = f'shared_keys = [{{id = "k", algorithm = "HMAC_SHA1", secret = "{SECRET}"}}]\n'
    more += f'api_keys = [{{sid = "SK{"1" * 32}", secret = "{SECRET}"}}]'
    environ = _file(tmp_path, _account(more=more))
    settings = load(
        environ
        | {
            "TWILIO_ACCOUNT_SID": OTHER,
            "TWILIO_AUTH_TOKEN": SECRET,
            "ROUTER_ADMIN_PASSWORD": SECRET,
            "ROUTER_VIEWER_PASSWORD": SECRET * 2,
            "ROUTER_REDIS_URL": f"redis://:{SECRET}@h",
            "ROUTER_PUBLIC_URL": f"https://me:{SECRET}@a.example",
        }
    )
    assert SECRET not in repr(settings) + str(settings)


def test_every_setting_is_documented() -> None:
    """Each setting has a unique row with a type and a help text, and the row's default is the field's."""
    rows = table()
    assert all(row.help and row.type and (row.variable or row.key) for row in rows)
    assert len({(row.variable, row.key) for row in rows}) == len(rows)
    environ = {row.variable: row.default for row in rows if row.variable and row.default and row.key != "workers"}
    assert load(environ) == load({})


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def test_the_example_shows_every_setting(tmp_path: Path) -> None:
    """config/router.toml loads, and with every `#` removed it shows each setting with its default."""
    text = (CONFIG / "router.toml").read_text(encoding="utf-8")
    assert load(_file(tmp_path, text)) == load({})
    bare = re.sub(r"^# (?=[a-z_]+ = |\[)|^#$", "", text, flags=re.MULTILINE)
    settings = load(_file(tmp_path, bare))
    assert settings.handlers_of(AC) == {"echo", "orders"}
    document = tomllib.loads(bare)
    account = document.pop("account")[0]
    shown = {*document, *(f"account.{key}" for key in account)}
    shown |= {f"account.{name}.{key}" for name in ("shared_keys", "api_keys") for key in account[name][0]}
    assert shown == {row.key for row in table() if row.key}
    defaults = {row.key: row.default for row in table() if row.default and row.key not in ("workers", "public_url")}
    for key, default in defaults.items():
        value = document[key]
        words = [str(each).lower() if isinstance(each, bool) else str(each) for each in _listed(value)]
        assert ", ".join(words) == default


def test_the_settings_import_nothing_that_gevent_must_patch() -> None:
    """Importing the settings, which gunicorn's master does before gevent patches, imports neither ssl nor urllib3."""
    code = "import sys, router.settings; print(sorted({'ssl', 'urllib3', 'redis', 'flask'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
