"""The Litestar application that is served."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from litestar import Litestar
from litestar.plugins.core import MsgspecDIPlugin

if TYPE_CHECKING:
    from litestar.plugins import PluginProtocol

__all__ = ["Application"]


class Application(Litestar):
    """Litestar, which brings what understands the types of pydantic and attrs only where somebody has imported them.

    Litestar's own plugins for them import them wherever they are installed, which takes longer than all routes. Nobody
    can have annotated a route with a type whose library nobody has imported.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        if {"pydantic", "attr"} & sys.modules.keys():
            return Litestar._get_default_plugins(plugins)  # noqa: SLF001 - it is what this one stands in for
        return [*plugins, MsgspecDIPlugin()]
