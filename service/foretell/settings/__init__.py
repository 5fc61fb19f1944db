"""Settings: foretell.toml, FORETELL_* environment, command-line flags, in rising order of precedence."""

from foretell.settings.model import (
    EngineSettings,
    LimitSettings,
    LogSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)
from foretell.settings.sources import EffectiveSettings, load_settings

__all__ = [
    "EffectiveSettings",
    "EngineSettings",
    "LimitSettings",
    "LogSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "load_settings",
]
