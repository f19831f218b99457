"""An application that reads nothing and answers `{}`: what the HTTP server alone can do."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server


async def application(
    scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def main(port: int) -> None:
    server = Server(
        application, port=port, interface=Interfaces.ASGI, log_enabled=False, websockets=False, backlog=1024
    )
    await server.serve()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main(int(sys.argv[1])))
