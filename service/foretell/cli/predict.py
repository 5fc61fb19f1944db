"""``foretell predict``: a prediction in this process, without a server."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from foretell.cli.options import gather, store_option
from foretell.errors import InvalidInputError, NotReadyError, Problem
from foretell.store.catalog import find_model

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["predict"]


@click.command()
@click.argument("name")
@click.argument("body", default="-")
@click.option("--version", type=click.IntRange(min=1), help="The version to ask.")
@click.option("--alias", help="The alias to ask.")
@store_option
def predict(name: str, body: str, version: int | None, alias: str | None, store: Path) -> None:
    """Ask a model of a store, without a server.

    BODY is what would be posted to /v1/models/NAME:predict; it is read from standard input if it is not given.

    \b
    Examples:
      foretell predict iris '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
      foretell predict iris --alias candidate < rows.json
    """  # noqa: D301 - click wants the control character, not its name
    if version is not None and alias is not None:
        raise click.UsageError("name a version or an alias, not both")
    from foretell.engine.loader import Loader
    from foretell.engine.registry import Registry
    from foretell.plugin.chain import Chain
    from foretell.prediction import RequestRecord, answered
    from foretell.protocols.codec import body_of
    from foretell.protocols.endpoint import NATIVE, Endpoint

    config = find_model(store, name).config
    if config is not None and not config.enabled:
        raise NotReadyError(f"{name} is disabled: its model.toml says `enabled = false`")
    settings = gather({"store": str(store)}).settings
    registry = Registry(
        store,
        Loader.of(settings),
        serve=lambda version, _: Endpoint(version, Chain.bare(version.predict)),
    )
    raw = sys.stdin.buffer.read() if body == "-" else os.fsencode(body)

    async def answer() -> bytes:
        await registry.load(only=name)
        model = registry.model(name)
        try:
            if version is not None:
                endpoint = model.version(version)
            else:
                endpoint = model.alias(alias) if alias is not None else registry.default(name)
        except NotReadyError as error:
            reasons = [f"version {number}: {reason}" for number, reason in model.failures.items()]
            known = "; ".join(reasons) or model.error
            # Not the rest of the message: it points at routes of a server.
            raise NotReadyError(f"{re.split('[:;]', str(error), maxsplit=1)[0]}: {known}") from error
        try:
            request, encode = endpoint.codecs[NATIVE].decode(raw, RequestRecord("cli", NATIVE, 0))
        except InvalidInputError as error:
            if not _has_features(raw):
                raise
            message = (
                'send {"instances": [row, …]} or {"inputs": columns}: `features` is only for POST /predict'
            )
            raise InvalidInputError(Problem("$", message)) from error
        return body_of(encode(request, await answered(endpoint.respond(request))))

    try:
        click.echo(asyncio.run(answer()))
    finally:
        registry.close()


def _has_features(raw: bytes) -> bool:
    """Whether a body is one of the simple protocol."""
    from foretell.protocols.complaints import DECODE_ERRORS

    try:
        return "features" in msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except DECODE_ERRORS:
        return False
