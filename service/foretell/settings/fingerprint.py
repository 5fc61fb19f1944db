"""What tells servers apart."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from foretell.settings.model import Settings

__all__ = ["fingerprint"]


def fingerprint(settings: Settings) -> str:
    """What tells a server from one of other settings or in another folder, and its workers not from one another."""
    return hashlib.sha256(os.fsencode(Path.cwd()) + msgspec.json.encode(settings)).hexdigest()[:16]
