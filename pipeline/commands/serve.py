"""``pitpulse serve``: the STAC API and the files of a published folder, over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import BadInput, Unavailable
from ..storage import open_store, public_url
from .publisher import api_application

WAITING = 128  # connections that may wait to be taken
GRACE = 10  # s for requests under way, once it is told to end


@dataclass(frozen=True)
class ServeRequest:
    """What to serve and where: ``public_url`` is what links start with ("": as asked), ``behind_proxy`` believes the
    ``X-Forwarded-*`` headers, ``max_limit`` bounds a page."""

    root: str
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    behind_proxy: bool = False
    max_limit: int = 1000


def serve(request: ServeRequest, say: Callable[[str], None]) -> int:
    """Serve until interrupted or terminated; requests under way are finished.

    Raises
    ------
    BadInput
        The server's packages aren't installed, or a setting can't be used.
    Unavailable
        The port is taken, or the host isn't one of this machine.
    """
    try:
        import uvicorn

        app = api_application(
            request.root,
            public_url=request.public_url,
            trust_forwarded=request.behind_proxy,
            max_limit=request.max_limit,
        )
    except ImportError as error:
        raise BadInput(
            f"pitpulse serve needs packages that are not installed ({error.name}): pip install 'pitpulse[serve]'"
        ) from error
    listening = bound_socket(request.host, request.port)
    host = f"[{request.host}]" if ":" in request.host else request.host
    if not open_store(request.root).exists("catalog/items.json"):
        say(f"nothing is published at {public_url(request.root)} yet: searches answer 503 until a run has been there")
    # Said before the server runs: connections wait in the socket until it takes them.
    say(f"serving {public_url(request.root)} at http://{host}:{listening.getsockname()[1]}/ (interrupt to end)")
    # Forwarded headers are the application's to judge; the server would believe them from this machine.
    config = uvicorn.Config(
        app, proxy_headers=False, server_header=False, ws="none", lifespan="off", timeout_graceful_shutdown=GRACE
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # raised again by the server once it has ended in order
        return 0
    finally:
        listening.close()
    return 0


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises
    ------
    BadInput
        The port is no port.
    Unavailable
        It is taken, or the host isn't one of this machine.
    """
    if not 0 <= port <= 65535:
        raise BadInput(f"port must be between 0 and 65535, instead got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Unavailable(f"can't listen on {host}: {error.strerror or error}; name a host of this machine") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING)
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"can't listen on {host} port {port}: {error.strerror}; choose another with --port or --host"
        ) from error
    return listening
