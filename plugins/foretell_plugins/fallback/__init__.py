"""Something else answers where a model cannot: an older version, another model, or a fixed value."""

from foretell_plugins.fallback.breaker import Breaker, BreakerRules, BreakerState
from foretell_plugins.fallback.config import Config, TargetConfig
from foretell_plugins.fallback.plugin import Fallback

__all__ = ["Breaker", "BreakerRules", "BreakerState", "Config", "Fallback", "TargetConfig"]
