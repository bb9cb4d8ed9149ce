"""Which tunnel it is: one whose URL is given, that of a running ngrok agent, or one of an agent that we start."""

import sys
from typing import Final

from router.cli.connect.tunnels import Tunnel, TunnelGone
from router.cli.connect.tunnels.agent import DEFAULT, Agent
from router.cli.connect.tunnels.ngrok import NgrokProcess, NgrokTunnel, installed
from router.cli.context import base_url
from router.errors import RouterError
from router.settings import Settings

_TOKEN: Final = "https://dashboard.ngrok.com/get-started/your-authtoken"  # noqa: S105 - a page


def open_ngrok(settings: Settings, api: str | None, *, router_port: int, port: int) -> Tunnel:
    """Return a tunnel of ngrok's.

    Args:
        settings: of the router it leads to.
        api: where the agent's API is; None for the usual place, and then an agent is started when none is there.
        router_port: where the router listens.
        port: where the tunnel is to lead.

    Raises:
        RouterError: there is no agent and none can be started; the sentence says what to install.
    """
    agent = Agent(api or DEFAULT)
    try:
        agent.tunnels()
    except TunnelGone as error:
        if api:
            raise RouterError(f"{error}; start one with `ngrok start --none`") from None
    else:
        return NgrokTunnel(agent, router_port=router_port, port=port)
    command = installed()
    if not command:
        raise RouterError(
            f"there is no tunnel to use: no ngrok agent runs here ({agent.api}), and neither pyngrok nor ngrok is "
            f"installed. Install one, `{sys.executable} -m pip install pyngrok` or https://ngrok.com/download, give it "
            f"your authtoken once (`ngrok config add-authtoken …`, from {_TOKEN}), and run this again. Or open any "
            f"other tunnel, as `cloudflared tunnel --url {base_url(settings)}`, and name it: `router tunnel --url https://…`"
        )
    process = NgrokProcess(command)
    return NgrokTunnel(process.start(), router_port=router_port, port=port, process=process)
