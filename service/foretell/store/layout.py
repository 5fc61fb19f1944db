"""Where things are in a model store, and what they may be called.

model_store/
  churn/
    model.toml
    1/  model.onnx  manifest.json
    2/  model.onnx  weights.bin  manifest.json
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from foretell.errors import InvalidNameError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "MODEL_CONFIG_FILE",
    "STAGING_FOLDER",
    "check_alias",
    "check_model_name",
    "is_model_name",
    "parse_version",
    "version_folders",
]

MODEL_CONFIG_FILE: Final = "model.toml"
STAGING_FOLDER: Final = ".staging"

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")


def is_model_name(text: str) -> bool:
    """Whether a text can name a model: letters, digits, ``.``, ``_`` and ``-``, and nothing that a path could abuse."""
    return _NAME.fullmatch(text) is not None


def check_model_name(text: str) -> str:
    """Return a model name unchanged.

    Raises:
        InvalidNameError: It is not of the allowed form.
    """
    if not is_model_name(text):
        message = (
            f"{text!r} cannot name a model: use 1 to 128 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit and not ending in '.'"
        )
        raise InvalidNameError(message)
    return text


def check_alias(text: str) -> str:
    """Return an alias unchanged.

    Raises:
        InvalidNameError: It is not of the allowed form, or could be taken for a version.
    """
    if not is_model_name(text) or text.isdecimal():
        message = (
            f"{text!r} cannot be an alias: use letters, digits, '.', '_' or '-', and at least one non-digit"
        )
        raise InvalidNameError(message)
    return text


def parse_version(text: str) -> int | None:
    """The version that a text names: a positive integer without sign or leading zeros; None if it is not one."""
    return int(text) if _VERSION.fullmatch(text) else None


def version_folders(model: Path) -> dict[int, Path]:
    """The version folders of a model's folder, by version, in rising order.

    Raises:
        OSError: The folder cannot be read.
    """
    found = {
        version: path for path in model.iterdir() if (version := parse_version(path.name)) and path.is_dir()
    }
    return dict(sorted(found.items()))
