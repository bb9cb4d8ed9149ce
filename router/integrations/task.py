"""A TaskRouter task: for your own agent desktop, and for lists of customers to call back.

A web chat is in a Conversation at Twilio: the message is added to it first, and the task's attributes have its SID.

TaskRouter has no idempotency key. So each task has the message's SID in its attributes (`routerMessageId`), and the
router searches for it before it repeats a request.

https://www.twilio.com/docs/taskrouter/api/task
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from router.integrations.base import Attempt, AttemptError, Failure, Sender
from router.integrations.conversation_steps import Steps
from router.integrations.memory import Known, Memory
from router.integrations.parts import Parts
from router.integrations.rest import NOT_FOUND, PRECONDITION, TASKROUTER, Reply, Rest, RestError
from router.integrations.web_conversation import WebConversation
from router.message.channel import WEB
from router.message.inbound import Message
from router.message.twiml import Answer

# The states of an open task, which further messages of its conversation use; the others are `completed` and `canceled`.
OPEN: Final = ("pending", "reserved", "assigned", "wrapping")
# The number of newest messages in a task's attributes: a replay of one of them changes nothing.
NAMED: Final = 10
# The maximum length of a message's field in a task's attributes.
QUOTED: Final = 1024


@dataclass(frozen=True, slots=True)
class Task:
    """Creates a task for a conversation's first message, which counts the others; or one for each message."""

    rest: Rest
    memory: Memory
    chats: WebConversation

    def send(self, attempt: Attempt) -> Answer:
        """Create a task, or update the conversation's open one; see `Sender.send`."""
        if attempt.message.channel != WEB:
            return self._count(attempt)
        added = self.chats.send(Steps(self.rest, attempt, time.monotonic()))
        counted = self._count(attempt)
        return replace(counted, note=f"{added.note}; {counted.note}")

    def _count(self, attempt: Attempt) -> Answer:
        per_conversation = attempt.flow.integration.task_per_conversation
        known = Known(self.memory, attempt)
        made = self._made(attempt) if attempt.repeats else None
        if made is not None:
            if per_conversation and made.text("assignment_status") in OPEN:
                _keep(attempt, known, made)
            return _answer(made.status, f"task {made.text('sid')} was made for it before")
        if per_conversation and known["task"] and known["workspace"] == attempt.flow.integration.workspace_sid:
            answer = self._update(attempt, known["task"])
            if answer is not None:
                return answer
        return self._create(attempt, known, keep=per_conversation)

    def _made(self, attempt: Attempt) -> Reply | None:
        """Search for the task that an earlier attempt created for the message."""
        wanted = f"routerMessageId == '{attempt.message.message_sid}'"
        page = self.rest.get(attempt.account, _tasks(attempt), EvaluateTaskAttributes=wanted)
        for row in page.rows("tasks"):
            # Check the attribute: an index that lacks it must not make other tasks match.
            if _attributes(row).get("routerMessageId") == attempt.message.message_sid:
                return Reply(page.status, row)
        return None

    def _create(self, attempt: Attempt, known: Known, *, keep: bool) -> Answer:
        integration = attempt.flow.integration
        conversation = known["conversation"] if attempt.message.channel == WEB else ""
        form = {
            "Attributes": _json(first_attributes(attempt, conversation)),
            "WorkflowSid": integration.workflow_sid,
            "TaskChannel": integration.channel,
            "Timeout": str(integration.timeout),
            **({"Priority": str(integration.priority)} if integration.priority else {}),
        }
        made = self.rest.post(attempt.account, _tasks(attempt), form)
        if not made.text("sid"):
            raise AttemptError(Failure.UNKNOWN, "Twilio's answer names no task")
        if keep:
            _keep(attempt, known, made)
        return _answer(made.status, f"made task {made.text('sid')}")

    def _update(self, attempt: Attempt, sid: str) -> Answer | None:
        """Count the message in the conversation's task; None if the task is not open any more."""
        url, message_sid = f"{_tasks(attempt)}/{sid}", attempt.message.message_sid
        for _ in range(2):
            try:
                task = self.rest.get(attempt.account, url)
                known = _attributes(task.record)
                if task.text("assignment_status") not in OPEN or not known:
                    return None
                if message_sid in _named(known):
                    return _answer(task.status, f"task {sid} has it already")
                headers = [f"If-Match: {task.etag}"] if task.etag and task.etag.isprintable() else []
                form = {"Attributes": _json(_counted(known, message_sid))}
                updated = self.rest.post(attempt.account, url, form, headers=headers)
            except RestError as error:
                if error.status == NOT_FOUND:
                    return None
                if error.status != PRECONDITION:
                    raise
            else:
                return _answer(updated.status, f"updated task {sid}")
        raise AttemptError(
            Failure.FAILED,
            f"task {sid} was changed by other programs twice while it was being updated (412)",
            status=PRECONDITION,
        )


def _keep(attempt: Attempt, known: Known, made: Reply) -> None:
    """Store a conversation's open task; a web chat's Conversation stays stored with it."""
    store = known.set if attempt.message.channel == WEB else known.replace
    store(task=made.text("sid"), workspace=attempt.flow.integration.workspace_sid)


def make_sender(parts: Parts) -> Sender:
    """Make the sender; see `SenderModule`."""
    return Task(parts.rest, parts.memory, parts.chats)


def first_attributes(attempt: Attempt, conversation: str = "") -> dict[str, Any]:
    """Return the attributes of a new task: those that desktops expect, overridden by the flow's own.

    `conversation` is the SID of the Conversation at Twilio that the message is in, "" if it is in none.

    If a value of the flow's own is exactly `{{Body}}`, or another parameter of the webhook in such braces, it is
    replaced by the message's value.
    """
    message, flow = attempt.message, attempt.flow
    name = message.profile_name or message.from_
    given: dict[str, Any] = {
        "channelType": message.channel,
        "name": name,
        "from": message.from_,
        "to": message.to,
        "customerAddress": message.from_,
        "customerName": name,
        "direction": "inbound",
        "initiatedBy": "customer",
        "messageSid": message.message_sid,
    }
    if attempt.language:
        given["language"] = attempt.language
    if conversation:
        given["conversationSid"] = conversation
    own = json.loads(flow.integration.task_attributes) if flow.integration.task_attributes else {}
    given |= {key: _filled(value, message) for key, value in own.items()}
    # The attributes that the router searches for are set last, so that the flow cannot override them.
    given["router"] = {"lane": attempt.lane, "flow": flow.sid}
    given["routerMessageId"] = message.message_sid
    return _counted(given, message.message_sid)


def _filled(value: Any, message: Message) -> Any:
    if isinstance(value, str) and value.startswith("{{") and value.endswith("}}"):
        return message.params.get(value[2:-2].strip(), "")[:QUOTED]
    if isinstance(value, dict):
        return {key: _filled(each, message) for key, each in value.items()}
    return value


def _counted(attributes: Mapping[str, Any], message_sid: str) -> dict[str, Any]:
    """Return attributes that count one more message."""
    count = attributes.get("messageCount")
    return dict(attributes) | {
        "lastMessageSid": message_sid,
        "messageCount": (count if isinstance(count, int) else 0) + 1,
        "routerMessageIds": [*_named(attributes), message_sid][-NAMED:],
    }


def _named(attributes: Mapping[str, Any]) -> list[Any]:
    found = attributes.get("routerMessageIds")
    return found if isinstance(found, list) else []


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Read a task's attributes; {} if another program has replaced them by anything but an object."""
    try:
        parsed = json.loads(str(record.get("attributes") or ""))
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _json(value: Mapping[str, Any]) -> str:
    # A lone surrogate, for example of an emoji that was cut, cannot be encoded.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace").decode()


def _tasks(attempt: Attempt) -> str:
    return f"{TASKROUTER}/v1/Workspaces/{attempt.flow.integration.workspace_sid}/Tasks"


def _answer(status: int, note: str) -> Answer:
    return Answer(status, "", b"", "", note=note)
