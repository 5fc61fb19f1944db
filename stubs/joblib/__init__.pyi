import os
from typing import Any, BinaryIO, Literal

__version__: str

def dump(
    value: Any,
    filename: str | os.PathLike[str] | BinaryIO,
    compress: bool | int | str | tuple[str, int] = 0,
    protocol: int | None = None,
) -> list[str]: ...
def load(
    filename: str | os.PathLike[str] | BinaryIO,
    mmap_mode: Literal["r+", "r", "w+", "c"] | None = None,
    ensure_native_byte_order: bool | Literal["auto"] = "auto",
) -> Any: ...
def hash(obj: Any, hash_name: str = "md5", coerce_mmap: bool = False) -> str: ...
def cpu_count(only_physical_cores: bool = False) -> int: ...
