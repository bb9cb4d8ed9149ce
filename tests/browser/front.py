"""What is between a browser and the router: a proxy that terminates TLS, or a port forwarded under another name."""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from typing import Final

# With its key. It is for another host name, so tests have to ignore certificate errors.
CERTIFICATE: Final = Path(__file__).parents[1] / "integrations" / "target.pem"


class Front:
    """Listens on its own port and forwards connections to the port `to`; with `tls` it terminates TLS."""

    def __init__(self, *, tls: bool) -> None:
        self.to = 0
        self.port = 0
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
        if self._context:
            self._context.load_cert_chain(CERTIFICATE)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        listening = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run(listening)))
        self._thread.start()
        assert listening.wait(5)

    def close(self) -> None:
        """Close all connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _run(self, listening: threading.Event) -> None:
        server = await asyncio.start_server(self._lead_on, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _lead_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, there = await asyncio.open_connection("127.0.0.1", self.to)
        try:
            await asyncio.gather(_copy(near, there), _copy(far, back))
        finally:
            for writer in (there, back):
                writer.close()
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()
