"""Settings: foretell.toml, FORETELL_* environment, command-line flags, in rising order of precedence."""

from foretell.settings.model import (
    AdminSettings,
    EngineSettings,
    GrpcSettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    PluginSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)
from foretell.settings.sources import EffectiveSettings, load_settings

__all__ = [
    "AdminSettings",
    "EffectiveSettings",
    "EngineSettings",
    "GrpcSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PluginSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "load_settings",
]
