"""The group of all commands, which imports a command's own libraries only when that command runs."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click

from foretell.errors import ForetellError

__all__ = ["cli", "main"]

_COMMANDS: Final = {
    "serve": ("foretell.cli.serve", "serve", "Serve a model store over HTTP."),
    "publish": ("foretell.cli.publish", "publish", "Turn a trained estimator into a version of a model."),
    "models": (
        "foretell.cli.models",
        "models",
        "List, show, alias, roll back and verify the models of a store.",
    ),
    "health": ("foretell.cli.health", "health", "Say whether a server is ready."),
    "predict": ("foretell.cli.predict", "predict", "Ask a model of a store, without a server."),
    "loadtest": (
        "foretell.cli.loadtest",
        "loadtest",
        "Hold the models of a store under load against targets.",
    ),
    "plugins": ("foretell.cli.plugins", "plugins", "List, try and write plugins; show the chain of a model."),
    "plan": ("foretell.cli.plan", "plan", "Show how the CPUs are used and how each model is run."),
    "config": ("foretell.cli.config", "config", "Print the effective settings and where each comes from."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands by name and one line of help, and imports them when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in _COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from foretell.cli.plugin_commands import plugin_commands

        # click looks for likely names among commands that are imported already; here none is.
        added = plugin_commands()
        if name in added:
            return name, added[name], args[1:]
        close = get_close_matches(name, [*_COMMANDS, *added], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise click.UsageError(f"No such command {name!r}.{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Begin with `foretell serve`, then open http://127.0.0.1:8000/schema. "
    "Plugins may add commands; `foretell plugins list` names them.",
)
@click.version_option(package_name="foretell")
def cli() -> None:
    """Put trained models behind a fast, typed, observable HTTP endpoint."""


def main(arguments: list[str] | None = None) -> Any:
    """Run a command line; an error of foretell's is one message and exit status 1, not a traceback."""
    try:
        return cli.main(arguments, prog_name="foretell")
    except ForetellError as error:
        click.echo(f"foretell: {error}", err=True)
        sys.exit(1)
