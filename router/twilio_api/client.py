"""The official client, bound to where credentials may go, and what it raises made one sentence."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from router.errors import RouterError
from router.settings import Account, Settings

# A person waits: longer than Twilio's slowest list, shorter than patience. The client itself has no limit.
SECONDS: Final = 15.0
API: Final = "https://api.twilio.com"
_REFUSED: Final = (401, 403)
_CODES: Final = 10_000  # the least of Twilio's own: https://www.twilio.com/docs/api/errors


class TwilioError(RouterError):
    """Twilio said no, or nothing; `status` is HTTP's, 0 when there was no answer, `code` Twilio's own, 0 for none."""

    def __init__(self, reason: str, status: int = 0, code: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code

    @property
    def unauthorized(self) -> bool:
        """Whether the credentials were not accepted."""
        return self.status in _REFUSED


class Rest:
    """The API as one account: `client` is the official one, to be used inside of `errors`.

    Args:
        settings: where it is.
        account: the account whose resources are read and changed.
        token: the auth token, when it shall be another than the first.
        seconds: how long Twilio may take to accept a connection, and between two pieces of an answer.
    """

    def __init__(self, settings: Settings, account: Account, token: str = "", *, seconds: float = SECONDS) -> None:
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        http = TwilioHttpClient(timeout=seconds)
        http.session.trust_env = False  # no proxy out of the environment
        self.account_sid = account.sid
        self.client: Any = Client(
            account.sid,
            token or account.auth_tokens[0],
            http_client=_Bound(http, settings.twilio_api_url),
            environment={"TWILIO_REGION": ""},  # nothing of the environment but what the settings say
        )
        self._base = settings.twilio_api_url or API

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Make one sentence of whatever the client raises: a `TwilioError`."""
        from twilio.base.exceptions import TwilioException

        try:
            yield
        except TwilioException as error:
            raise self._refusal(error) from None
        except OSError as error:  # what `requests` raises is one
            raise TwilioError(f"Twilio's REST API at {self._base} cannot be reached: {_reason(error)}") from None
        # An answer of another shape: a proxy's page.
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TwilioError(f"{self._base} did not answer as Twilio's REST API does: {error!r}") from None

    def _refusal(self, error: Exception) -> TwilioError:
        """Read status and message, which the client keeps in one place for a record and in another for a page."""
        page = error.args[1] if len(error.args) > 1 else None
        status = getattr(error, "status", 0) or getattr(page, "status_code", 0)
        if status in _REFUSED:
            return TwilioError(
                f"Twilio refuses the credentials of {self.account_sid} ({status}): is its auth token, the first one in "
                "the settings, still in use?",
                status,
            )
        message = getattr(error, "msg", "") or _message_of(page) or str(error)
        code = getattr(error, "code", 0)  # for a page that is not Twilio's, the client repeats the status
        return TwilioError(
            f"Twilio's REST API answered {status}: {' '.join(message.split())[:200]}",
            status,
            code if isinstance(code, int) and code >= _CODES else 0,
        )


class _Bound:
    """Sends the client's requests, credentials and all, to Twilio only, or only to the one base that is set.

    The address of a next page comes out of an answer, and the client would follow it anywhere.
    """

    is_async = False

    def __init__(self, http: Any, base: str | None) -> None:
        self._http = http
        self._base = base

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Send one request, its path and query kept."""
        parts = urlsplit(url)
        if self._base:
            url = f"{self._base}{parts.path}{f'?{parts.query}' if parts.query else ''}"
        elif parts.scheme != "https" or not (parts.hostname or "").endswith(".twilio.com"):
            raise TwilioError(f"Twilio's answer leads to {parts.scheme}://{parts.netloc}, which is not Twilio")
        return self._http.request(method, url, *args, **options)


def _message_of(page: Any) -> str:
    """Return what a refused page says: Twilio's own sentence, or whatever a proxy wrote instead."""
    text = str(getattr(page, "text", ""))
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text


def _reason(error: OSError) -> str:
    """Return the innermost sentence: the library wraps the reason several times, addresses of objects and all."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return str(getattr(inner, "strerror", None) or inner)[:200]
