"""foretell puts a trained model behind a fast, typed, observable HTTP endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretell.app import create_app
    from foretell.publishing import publish
    from foretell.settings import Settings

__all__ = ["Settings", "create_app", "publish"]

_HOMES = {"Settings": "foretell.settings", "create_app": "foretell.app", "publish": "foretell.publishing"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that publishing does not load the server, nor the other way."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
