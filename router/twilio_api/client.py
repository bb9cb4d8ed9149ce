"""Twilio's client, restricted to the hosts that may get credentials; its errors become `TwilioError`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from router.errors import RouterError
from router.settings import Account, Settings

# A user waits for it; Twilio's slowest lists take less. The client itself has no timeout.
SECONDS: Final = 15.0
API: Final = "https://api.twilio.com"
_REFUSED: Final = (401, 403)
_CODES: Final = 10_000  # the smallest of Twilio's own codes: https://www.twilio.com/docs/api/errors


class TwilioError(RouterError):
    """Twilio refused or did not answer; `status` is the HTTP status, 0 for none; `code` is Twilio's, 0 for none."""

    def __init__(self, reason: str, status: int = 0, code: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code

    @property
    def unauthorized(self) -> bool:
        """Whether the credentials were not accepted."""
        return self.status in _REFUSED


class Rest:
    """The API with the credentials of one account; calls of `client` belong inside `errors`.

    Args:
        settings: has the base URL.
        account: the account whose resources are read and changed.
        token: the auth token, by default the account's first.
        seconds: the timeout for the connection and for each read.
    """

    def __init__(self, settings: Settings, account: Account, token: str = "", *, seconds: float = SECONDS) -> None:
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        http = TwilioHttpClient(timeout=seconds)
        http.session.trust_env = False  # no proxy from the environment
        self.account_sid = account.sid
        self.client: Any = Client(
            account.sid,
            token or account.auth_tokens[0],
            http_client=_Bound(http, settings.twilio_api_url),
            environment={"TWILIO_REGION": ""},  # nothing from the environment: the settings decide
        )
        self._base = settings.twilio_api_url or API

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate all errors of the client to `TwilioError`."""
        from twilio.base.exceptions import TwilioException

        try:
            yield
        except TwilioException as error:
            raise self._refusal(error) from None
        except OSError as error:  # including those of `requests`
            raise TwilioError(f"Twilio's REST API at {self._base} cannot be reached: {_reason(error)}") from None
        # An unexpected answer, for example the page of a proxy.
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TwilioError(f"{self._base} did not answer as Twilio's REST API does: {error!r}") from None

    def _refusal(self, error: Exception) -> TwilioError:
        """Return the error with status and message, which the client stores differently for records and for pages."""
        page = error.args[1] if len(error.args) > 1 else None
        status = getattr(error, "status", 0) or getattr(page, "status_code", 0)
        if status in _REFUSED:
            return TwilioError(
                f"Twilio refuses the credentials of {self.account_sid} ({status}): is its auth token, the first one in "
                "the settings, still in use?",
                status,
            )
        message = getattr(error, "msg", "") or _message_of(page) or str(error)
        code = getattr(error, "code", 0)  # for an answer that is not Twilio's, the client uses the status
        return TwilioError(
            f"Twilio's REST API answered {status}: {' '.join(message.split())[:200]}",
            status,
            code if isinstance(code, int) and code >= _CODES else 0,
        )


class _Bound:
    """Sends the client's requests, which have credentials, only to Twilio, or only to the base URL in the settings.

    The client would follow the URL of the next page, which is part of an answer, to any host.
    """

    is_async = False

    def __init__(self, http: Any, base: str | None) -> None:
        self._http = http
        self._base = base

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        """Send one request; path and query do not change."""
        parts = urlsplit(url)
        if self._base:
            url = f"{self._base}{parts.path}{f'?{parts.query}' if parts.query else ''}"
        elif parts.scheme != "https" or not (parts.hostname or "").endswith(".twilio.com"):
            raise TwilioError(f"Twilio's answer leads to {parts.scheme}://{parts.netloc}, which is not Twilio")
        return self._http.request(method, url, *args, **options)


def _message_of(page: Any) -> str:
    """Return the message of an error answer: Twilio's, or the text of a proxy."""
    text = str(getattr(page, "text", ""))
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text


def _reason(error: OSError) -> str:
    """Return the message of the innermost error: the library wraps it several times, with addresses of objects."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return str(getattr(inner, "strerror", None) or inner)[:200]
