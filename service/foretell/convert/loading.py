"""Estimators and samples from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foretell.errors import ConversionError, MissingExtraError, PublishError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["load_estimator", "load_sample"]

_PICKLES: Final = frozenset({".joblib", ".pkl", ".pickle"})

_NO_PICKLE: Final = frozenset({"UnpicklingError", "KeyError", "EOFError", "IndexError"})
"""What unpickling raises on bytes that are no pickle."""


def load_estimator(path: str | Path, *, trust_pickle: bool, trusted: Sequence[str] = ()) -> Any:
    """Read a fitted estimator.

    Args:
        path: A ``.skops`` file, or a ``.joblib``, ``.pkl`` or ``.pickle`` file, which are pickles.
        trust_pickle: Whether the file's author may run code on this machine, as reading a pickle does.
        trusted: The types of a ``.skops`` file that are trusted beyond those that skops knows.

    Raises:
        PublishError: The file is absent, of another kind, unreadable, or not trusted.
        MissingExtraError: The library that reads it is not installed.
    """
    file = _existing(path)
    if file.suffix == ".skops":
        return _load_skops(file, trusted)
    if file.suffix not in _PICKLES:
        raise PublishError(
            f"{file} is no estimator's file: expected .skops, or .joblib, .pkl or .pickle with --trust-pickle"
        )
    if not trust_pickle:
        raise PublishError(
            f"{file} is a pickle, and reading it executes whatever code its author put in: if you trust it, "
            "say so with --trust-pickle (trust_pickle=True), or save the estimator with skops.io.dump"
        )
    try:
        import joblib
    except ImportError as error:
        raise MissingExtraError("convert", f"reading {file.name}") from error
    try:
        return joblib.load(file)
    except Exception as error:  # unpickling runs code, which raises what it likes
        said = f"{type(error).__name__}: {error}"
        if type(error).__name__ in _NO_PICKLE:
            said = f"it is no joblib or pickle file, or is cut short ({said}); save the estimator with joblib.dump"
        raise PublishError(f"{file} cannot be read: {said}") from error


def _load_skops(file: Path, trusted: Sequence[str]) -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtraError("convert", f"reading {file.name}") from error
    try:
        unknown = [name for name in skops.io.get_untrusted_types(file=file) if name not in trusted]
        estimator = None if unknown else skops.io.load(file, trusted=list(trusted))
    except Exception as error:  # a damaged archive fails in many ways
        raise PublishError(f"{file} cannot be read: {type(error).__name__}: {error}") from error
    if unknown:
        raise PublishError(
            f"{file} holds types that skops does not trust by itself: {', '.join(unknown)}. "
            "If you trust them, name them (--trusted TYPE, trusted=[…])"
        )
    return estimator


def load_sample(path: str | Path) -> Any:
    """Read rows into a pandas DataFrame.

    Args:
        path: A ``.csv`` file with a header, a ``.json`` file with a list of records, or a ``.parquet`` file.

    Raises:
        ConversionError: The file is absent, of another kind, unreadable or empty.
        MissingExtraError: pandas, or for ``.parquet`` pyarrow, is not installed.
    """
    file = _existing(path)
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("convert", f"reading {file.name}") from error
    readers: dict[str, Any] = {".csv": pd.read_csv, ".json": _read_json, ".parquet": pd.read_parquet}
    reader = readers.get(file.suffix)
    if reader is None:
        raise ConversionError(f"{file} is no sample: expected .csv, .json (a list of records) or .parquet")
    try:
        table = reader(file)
    except ImportError as error:
        raise ConversionError(
            f"reading {file.name} needs pyarrow: pip install pyarrow, or give a .csv"
        ) from error
    except (ValueError, OSError, TypeError) as error:
        raise ConversionError(f"{file} cannot be read: {error}") from error
    if not len(table):
        raise ConversionError(f"{file} has no rows")
    return table


def _read_json(file: Path) -> Any:
    import msgspec
    import pandas as pd

    records = msgspec.json.decode(file.read_bytes(), type=list[dict[str, Any]])
    return pd.DataFrame.from_records(records)


def _existing(path: str | Path) -> Path:
    file = Path(path)
    if not file.is_file():
        raise PublishError(f"{file} does not exist")
    return file
