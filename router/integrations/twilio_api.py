"""Reads what a live account has at Twilio, through the official client.

https://www.twilio.com/docs/flex/developer/messaging/flow and
https://www.twilio.com/docs/conversations-classic/api/address-configuration-resource
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from router.errors import RouterError
from router.settings import Account, Settings

# Seconds that Twilio may take to accept a connection, and between two pieces of an answer: the client has no limit.
TIMEOUT: Final = 15.0
# Twilio's largest pages: as few requests as can be.
_FLOWS_PAGE, _ADDRESSES_PAGE = 1000, 50
_REFUSED: Final = (401, 403)


class TwilioApiError(RouterError):
    """Twilio's REST API cannot be reached, refuses, or answers something else than its documentation says."""


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """A record of Twilio: its `sid` (`FO…` or `IG…`), and its values by their names in JSON, as Twilio wrote them."""

    sid: str
    values: dict[str, Any]


class LiveAccount:
    """The account at Twilio, or at the server that `ROUTER_TWILIO_API_URL` names.

    Every method is a generator that fetches page after page, and raises `TwilioApiError` where a page does not come.
    """

    def __init__(self, account: Account, settings: Settings, *, timeout: float = TIMEOUT) -> None:
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        self._sid = account.sid
        http = TwilioHttpClient(timeout=timeout)
        http.session.trust_env = False  # no proxies out of the environment: DESIGN 7, doors out
        self._client = Client(
            account.sid,
            account.auth_tokens[0],
            http_client=_Bound(http.request, settings.twilio_api_url),
            environment={"TWILIO_REGION": ""},  # nothing of the environment but what the settings say
        )

    def flex_flows(self) -> Iterator[LiveRecord]:
        """Yield the FlexFlows."""
        return self._records(self._client.flex_api.v1.flex_flow, _FLOWS_PAGE)

    def addresses(self) -> Iterator[LiveRecord]:
        """Yield the Address Configurations."""
        return self._records(self._client.conversations.v1.address_configurations, _ADDRESSES_PAGE)

    def _records(self, resource: Any, size: int) -> Iterator[LiveRecord]:
        with self._told():
            page = resource.page(page_size=size)
        while page:
            with self._told():
                records = [LiveRecord(each.sid, vars(each)) for each in page]
            yield from records
            with self._told():
                page = page.next_page()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Make whatever the client raises one sentence."""
        from twilio.base.exceptions import TwilioException

        try:
            yield
        except TwilioException as error:
            raise self._refusal(error) from error
        except OSError as error:  # what the client's HTTP library raises: no name, no connection, no answer in time
            raise TwilioApiError(f"Twilio's API does not answer: {_reason(error)}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # an answer of another shape
            raise TwilioApiError(f"Twilio's API answered what is no list of its records: {error!r}") from error

    def _refusal(self, error: Exception) -> TwilioApiError:
        response: Any = error.args[1] if len(error.args) > 1 else None
        if response is None:
            return TwilioApiError(f"Twilio's API: {error}")
        status = response.status_code
        if status in _REFUSED:
            return TwilioApiError(
                f"Twilio refuses the credentials of {self._sid} ({status}): is its auth token, the first one in the "
                "settings, still in use?"
            )
        return TwilioApiError(f"Twilio's API answered {status}: {' '.join(str(response.text).split())[:200]}")


class _Bound:
    """Sends the client's requests, credentials and all, to Twilio only, or only to the one base that is set.

    The address of a next page comes out of an answer, and the client would go wherever it says.
    """

    is_async = False

    def __init__(self, request: Callable[..., Any], base: str | None) -> None:
        self._request = request
        self._base = base

    def request(self, method: str, url: str, **more: Any) -> Any:
        """Send one request, as the client's own HTTP client does."""
        parts = urlsplit(url)
        if self._base:
            url = self._base + parts.path + (f"?{parts.query}" if parts.query else "")
        elif parts.scheme != "https" or not (parts.hostname or "").endswith(".twilio.com"):
            host = f"{parts.scheme}://{parts.netloc}"
            raise TwilioApiError(f"Twilio's API says that its next page is at {host}, which is not Twilio")
        return self._request(method, url, **more)


def _reason(error: OSError) -> str:
    """Return the innermost sentence: the library wraps the reason several times, addresses of objects and all."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return str(getattr(inner, "strerror", None) or inner)[:200]
