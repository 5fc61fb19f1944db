"""Requests are asked again of another version, behind their callers' backs, and the answers compared."""

from foretell_plugins.shadow.config import ShadowConfig
from foretell_plugins.shadow.plugin import Shadow

__all__ = ["Shadow", "ShadowConfig"]
