"""The command ``foretell``."""

from foretell.cli.main import main

__all__ = ["main"]
