"""A loader of small models, for registries that need one."""

from __future__ import annotations

from foretell.engine.loader import Loader
from foretell.engine.pool import Pool
from foretell.settings import LimitSettings

__all__ = ["LOADER"]

LOADER = Loader(
    max_file_bytes=1_000_000,
    intra_op_threads=1,
    pool=Pool(1),
    limits=LimitSettings(max_rows=100),
    inline_us=200,
)
