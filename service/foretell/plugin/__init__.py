"""The plugin API: what authors of plugins import."""

from foretell.plugin.call import others_time
from foretell.plugin.contract import Host, Models, NoConfig, Plugin, Stage
from foretell.plugin.instruments import Instrument
from foretell.plugin.shortcut import Shortcut
from foretell.prediction import (
    CacheStatus,
    Choose,
    Headers,
    ModelInfo,
    Predict,
    PredictRequest,
    PredictResponse,
    RequestRecord,
    Step,
)

__all__ = [
    "CacheStatus",
    "Choose",
    "Headers",
    "Host",
    "Instrument",
    "ModelInfo",
    "Models",
    "NoConfig",
    "Plugin",
    "Predict",
    "PredictRequest",
    "PredictResponse",
    "RequestRecord",
    "Shortcut",
    "Stage",
    "Step",
    "others_time",
]
