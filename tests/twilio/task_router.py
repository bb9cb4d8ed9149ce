"""A fake of TaskRouter, as far as the router uses it.

https://www.twilio.com/docs/taskrouter/api/task
"""

import json
import re
from collections.abc import Mapping

from tests.twilio.wire import Answered, Record, problem

_ASKED = re.compile(r"(\w+) == '([^']*)'")


class TaskRouter:
    """Workspaces with workflows and tasks.

    `lag` is the number of look-ups that do not find a new task.
    """

    def __init__(self, account_sid: str) -> None:
        self.account_sid = account_sid
        self.workspaces: dict[str, set[str]] = {}
        self.tasks: dict[str, Record] = {}
        self.lag = 0

    def route(  # noqa: C901, PLR0911 - one for each resource
        self, method: str, path: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Answered | None:
        """Answer a request, None for one of another product; a GET's query is its form."""
        parts = path.strip("/").split("/")
        if parts[:2] != ["v1", "Workspaces"] or len(parts) < 3:
            return None
        workspace, rest = parts[2], parts[3:]
        if workspace not in self.workspaces:
            return problem(404, 20404, f"The requested resource {path} was not found")
        if not rest:
            return 200, {"sid": workspace, "account_sid": self.account_sid, "friendly_name": "Flex Task Assignment"}, {}
        if rest[0] == "Workflows" and len(rest) == 2:
            if rest[1] not in self.workspaces[workspace]:
                return problem(404, 20404, f"The requested resource {path} was not found")
            return 200, {"sid": rest[1], "workspace_sid": workspace, "friendly_name": "Assign"}, {}
        if rest[0] != "Tasks":
            return None
        if len(rest) == 1:
            return self._create(workspace, form) if method == "POST" else self._list(workspace, form)
        task = self.tasks.get(rest[1])
        if task is None:
            return problem(404, 20404, f"The requested resource {path} was not found")
        if method == "POST":
            if headers.get("If-Match", task["version"]) != task["version"]:
                return problem(412, 20412, "Precondition failed: the ETag does not match")
            task["attributes"] = form.get("Attributes", task["attributes"])
            self.touch(task)
        return 200, task, {"ETag": task["version"]}

    def of_interaction(self, workspace: str, conversation_sid: str) -> None:
        """Make the task that an Interaction routes."""
        workflow = next(iter(self.workspaces.get(workspace, ())), "")
        if not workflow:
            return
        attributes = json.dumps({"conversationSid": conversation_sid, "channelType": "sms"})
        self._create(workspace, {"WorkflowSid": workflow, "Attributes": attributes})

    def touch(self, task: Record) -> None:
        """Change a task, as any program may."""
        task["version"] = f'"{int(task["version"].strip(chr(34))) + 1}"'

    def _create(self, workspace: str, form: Mapping[str, str]) -> Answered:
        if form.get("WorkflowSid") not in self.workspaces[workspace]:
            return problem(400, 20001, f"Workflow {form.get('WorkflowSid')} does not exist")
        try:
            json.loads(form["Attributes"])
        except ValueError:
            return problem(400, 20001, "The Attributes are not valid JSON")
        sid = f"WT{len(self.tasks):032x}"
        self.tasks[sid] = {
            "sid": sid,
            "account_sid": self.account_sid,
            "workspace_sid": workspace,
            "workflow_sid": form["WorkflowSid"],
            "attributes": form["Attributes"],
            "assignment_status": "pending",
            "task_channel_unique_name": form.get("TaskChannel", "default"),
            "timeout": int(form.get("Timeout", 86_400)),
            "priority": int(form.get("Priority", 0)),
            "version": '"0"',
        }
        return 201, self.tasks[sid], {"ETag": '"0"'}

    def _list(self, workspace: str, query: Mapping[str, str]) -> Answered:
        found = [each for each in self.tasks.values() if each["workspace_sid"] == workspace]
        if self.lag:
            self.lag, found = self.lag - 1, []
        if asked := _ASKED.fullmatch(query.get("EvaluateTaskAttributes", "")):
            name, value = asked.groups()
            found = [each for each in found if json.loads(each["attributes"]).get(name) == value]
        return 200, {"tasks": found, "meta": {"key": "tasks", "next_page_url": None}}, {}
