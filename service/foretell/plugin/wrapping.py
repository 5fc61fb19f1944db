"""One attempt to put the plugins around a version, and what becomes of those that crash meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from foretell.errors import ForetellError, PluginError

if TYPE_CHECKING:
    from collections.abc import Generator

    from foretell.plugin.loading import LoadedPlugin
    from foretell.prediction import ModelInfo

__all__ = ["Wrapping"]


class Wrapping:
    """An attempt to put the plugins around a version.

    Args:
        model: The version.

    Attributes:
        model: The version.
        left_out: Why each optional plugin that crashed is left out, by name.
        done: The plugins that wrapped the version, or the choice of it, or have nothing to wrap; by name.
        crash: The plugin that is not optional and crashed, and how; None if there is none.
    """

    def __init__(self, model: ModelInfo) -> None:
        self.model = model
        self.left_out: dict[str, str] = {}
        self.done: set[str] = set()
        self.crash: tuple[str, PluginError] | None = None

    @contextmanager
    def of(self, loaded: LoadedPlugin, what: str) -> Generator[None]:
        """Within this block a plugin is asked for something; if it crashes, it is left out, or the attempt has failed.

        What it says on purpose, an error of foretell's, goes through: that is about the version, not about the plugin.

        Args:
            loaded: The plugin.
            what: What it fails in if it does, after ``failed``.

        Raises:
            PluginError: It crashed, and is not optional; names the plugin, where it comes from, and the version.
        """
        try:
            yield
        except (KeyboardInterrupt, ForetellError):
            raise
        except BaseException as error:
            reason = (
                f"plugin {loaded.name!r} ({loaded.origin}) failed {what}: {type(error).__name__}: {error}"
            )
            self.done.discard(loaded.name)
            if loaded.optional:
                self.left_out[loaded.name] = reason
                return
            crash = PluginError(reason)
            self.crash = (loaded.name, crash)
            raise crash from error

    @property
    def version(self) -> str:
        """The version in words."""
        return f"{self.model.name} version {self.model.version}"
