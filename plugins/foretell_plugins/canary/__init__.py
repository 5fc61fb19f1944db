"""Another version of a model answers a part of the requests that name none."""

from foretell_plugins.canary.config import CanaryConfig
from foretell_plugins.canary.plugin import Canary

__all__ = ["Canary", "CanaryConfig"]
