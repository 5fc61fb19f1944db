"""``foretell health``: whether a server is ready."""

from __future__ import annotations

import ipaddress
import math
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

import click

from foretell.cli.options import address_options, gather
from foretell.http.listening import url_of

__all__ = ["health"]

_HERE: Final = {4: "127.0.0.1", 6: "::1"}
_PAUSE_S: Final = 0.1
_TIMEOUT_S: Final = 5.0


@click.command()
@click.option("--url", help="The server; that of the settings without it, on this machine.")
@click.option("--live", is_flag=True, help="Ask only whether its process answers, not whether its models do.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Ask again for so long.  [default: 0]",
)
@address_options
def health(url: str | None, live: bool, wait_s: float, **options: Any) -> None:
    """Say whether a server is ready: every model of its store is loaded. The exit status is 1 if it is not.

    It is the health check of the container, and helps scripts to wait for a server.

    \b
    Examples:
      foretell health
      foretell health --wait 30 --port 9000
      foretell health --live --url http://10.0.0.7:8000
    """  # noqa: D301 - click wants the control character, not its name
    try:
        parts = urlsplit(_own(options) if url is None else url)
        host, port = parts.hostname, 80 if parts.port is None else parts.port
    except ValueError as error:
        raise click.UsageError(f"--url is like http://10.0.0.7:8000: {error}") from error
    if parts.scheme != "http" or not host:
        raise click.UsageError("--url is like http://10.0.0.7:8000")
    if not port:
        raise click.UsageError("port 0 is a free one, which only the server's log tells: say --url")
    if math.isnan(wait_s):
        raise click.UsageError("--wait is a number of seconds")
    until = time.monotonic() + wait_s
    while True:
        answers, told = _asked(host, port, "/health/live" if live else "/health/ready")
        if answers or time.monotonic() >= until:
            break
        time.sleep(_PAUSE_S)
    click.echo(told, err=not answers)
    sys.exit(not answers)


def _own(options: dict[str, Any]) -> str:
    server = gather(options).settings.server
    host = server.host
    with suppress(ValueError):  # a name
        address = ipaddress.ip_address(host)
        if address.is_unspecified:  # who listens everywhere is found here
            host = _HERE[address.version]
    return url_of(host, server.port)


def _asked(host: str, port: int, path: str) -> tuple[bool, str]:
    """Whether all is well, and what the server says, in a line."""
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        told = answer.read(1000).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return False, f"{url_of(host, port)} does not answer: {error}"
    finally:
        connection.close()
    return answer.status == 200, told
