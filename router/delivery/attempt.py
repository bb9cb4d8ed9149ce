"""One attempt: sends a message to the target of its flow, within a time limit; every error becomes an AttemptError."""

import gevent

from router.errors import StoreUnavailable, unexpected
from router.flow.flex_flow import FlexFlow
from router.integrations import Integrations
from router.integrations.base import Attempt, AttemptError, Failure
from router.message.twiml import Answer
from router.settings import Settings
from router.store import Store
from router.store.lanes import Lease


class Attempts:
    """Makes the attempts of one process."""

    def __init__(self, store: Store, integrations: Integrations, settings: Settings) -> None:
        self._store = store
        self._integrations = integrations
        self._settings = settings

    def send(self, lease: Lease, flow: FlexFlow, seconds: float) -> Answer:
        """Send a message for at most `seconds`, and return the target's answer; raise AttemptError."""
        account = self._settings.account(lease.account_sid)
        if account is None:
            reason = f"account {lease.account_sid} is not in this process's settings"
            raise AttemptError(Failure.REFUSED, reason)
        timeout = gevent.Timeout(seconds)
        timeout.start()
        try:
            raw, message = lease.read()
            # If this process has just accepted the message, accept.lua has recorded this already.
            if flow.migrate_to and flow.integration.type == "proxy" and lease.content is None:
                self._announce(lease)
            attempt = Attempt(
                account=account,
                flow=flow,
                message=message,
                raw=raw,
                number=lease.attempts,
                replay=lease.round > 0,
                language=lease.language,
                seconds=seconds,
                lane=lease.lane,
                age=lease.accepted_ago,
                recovered=lease.answered,  # must not be answered, from its acceptance on
            )
            return self._integrations.send(attempt)
        except AttemptError:
            raise
        except gevent.Timeout as ended:
            if ended is not timeout:
                raise
            raise AttemptError(Failure.UNKNOWN, f"no answer within {seconds:.0f} s") from None
        except gevent.GreenletExit:
            raise
        except BaseException as error:  # a bug, ours or a handler's, must not stop the lane: the attempt has failed
            reason = f"the router failed: {type(error).__name__}: {error}"
            logged = f"the router failed: {unexpected(error)}"
            raise AttemptError(Failure.FAILED, reason, logged=logged) from error
        finally:
            timeout.close()

    def _announce(self, lease: Lease) -> None:
        """Record that the message may begin a session of Proxy: its contact stays until a list of sessions is newer."""
        try:
            self._store.proxied.sending(lease.account_sid, lease.lane, lease.flow_sid)
        except StoreUnavailable as error:
            reason = "the store did not answer, so the message was not sent: its contact may be migrated"
            raise AttemptError(Failure.REFUSED, reason) from error
