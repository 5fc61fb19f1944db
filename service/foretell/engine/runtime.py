"""ONNX Runtime, imported late and quiet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["load_runtime"]


def load_runtime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off and its log silent: what goes wrong is raised, and logged once.

    The environment is set before the import, because the library reads it while it loads.

    Source: ONNX Runtime Privacy.md.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["ORT_TELEMETRY_DISABLED"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)
    return onnxruntime
