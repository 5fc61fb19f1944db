"""Servers of a store in this process."""

from __future__ import annotations

from tests.plugins.fallback.conftest import serve

__all__ = ["serve"]
