"""Publish: a trained estimator becomes a version of a model in a store, if its ONNX form answers as it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from foretell.convert import TOLERANCE, Conversion, convert
from foretell.convert.arguments import check_arguments
from foretell.errors import ParityError
from foretell.store.layout import check_model_name
from foretell.store.manifest import FORMAT_VERSION, MODEL_FILE, Manifest
from foretell.store.publish import add_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.signature import Enforcement
    from foretell.store.manifest import FileDigest, ParityReport

__all__ = ["Published", "publish"]


class Published(msgspec.Struct, frozen=True):
    """A version that was published.

    Attributes:
        name: The model's name.
        version: The new version's number.
        folder: The version's folder.
        manifest: What was written about it.
    """

    name: str
    version: int
    folder: Path
    manifest: Manifest

    def __str__(self) -> str:
        parity = self.manifest.parity
        proven = "" if parity is None else f" ({summary(parity)})"
        return f"{self.name} version {self.version}{proven}"


def publish(
    estimator: Any,
    sample: Any,
    *,
    name: str,
    store: str | Path = "model_store",
    description: str = "",
    feature_names: Sequence[str] | None = None,
    enforce: Sequence[Enforcement] = (),
    tolerance: float | None = None,
    precision: Literal["auto", "float32", "float64"] = "auto",
    allow_mismatch: bool = False,
    on_progress: Callable[[str, float], None] | None = None,
) -> Published:
    """Convert an estimator to ONNX, prove that it answers as before, and add it to a store as the next version.

    Args:
        estimator: A fitted scikit-learn estimator or pipeline.
        sample: Rows such as it was trained on, without the target: a data frame, or an array ``[rows, features]``.
            Names, types, missing values, ranges and categories are read off it, and it is what the two forms are
            compared on. Some hundred rows that were held back from training are a good sample.
        name: The model's name.
        store: The store's folder, which is created if it is new.
        description: What readers of the catalogue should know.
        feature_names: The names of the columns, for an array; scikit-learn's ``x0``, ``x1``, … if not given.
        enforce: ``ranges`` and ``categories`` refuse requests outside of what the sample shows.
        tolerance: The greatest difference that counts as equal: of probabilities as a number, of other numbers as
            a part of the spread of the original's answers on the sample; 1e-5 if None.
        precision: What the ONNX form computes in; `auto` takes float32 if it proves equal, else float64.
        allow_mismatch: Publish although the answers differ; the manifest records it.
        on_progress: Is called with the stage and how much of it is done, 0 to 1.

    Returns:
        What was published.

    Raises:
        MissingExtraError: ``foretell[convert]`` is not installed.
        InvalidNameError: The name is not of the allowed form.
        ArgumentError: Another argument is not of the allowed kind.
        ConversionError: There is no ONNX form of the estimator, or the sample does not fit it.
        ParityError: The ONNX form answers differently.
        StoreError: The store cannot be written.
    """
    check_model_name(name)
    tolerance = TOLERANCE if tolerance is None else tolerance
    check_arguments(
        sample=sample,
        enforce=enforce,
        tolerance=tolerance,
        precision=precision,
        feature_names=feature_names,
        description=description,
    )
    conversion = convert(
        estimator,
        sample,
        feature_names=feature_names,
        enforce=enforce,
        tolerance=tolerance,
        precision=precision,
        on_progress=on_progress,
    )
    if not conversion.agrees and not allow_mismatch:
        raise ParityError(_refusal(name, conversion.parity))
    root = Path(store)
    written: list[Manifest] = []

    def make_manifest(files: dict[str, FileDigest]) -> Manifest:
        written.append(_manifest(conversion, files, description))
        return written[-1]

    version = add_version(root, name, {MODEL_FILE: conversion.model}, make_manifest)
    return Published(name, version, root / name / str(version), written[-1])


def summary(parity: ParityReport) -> str:
    """A parity report in one line."""
    return (
        f"{parity.precision}: {parity.rows} rows compared, {parity.label_disagreements} labels differ, "
        f"largest difference {parity.max_abs_diff:.2g}"
    )


def _manifest(conversion: Conversion, files: dict[str, FileDigest], description: str) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        files=files,
        signature=conversion.signature,
        opset=conversion.opset,
        provenance=conversion.provenance,
        description=description,
        parity=msgspec.structs.replace(conversion.parity, accepted_mismatch=not conversion.agrees),
    )


def _refusal(name: str, parity: ParityReport) -> str:
    failed = "" if parity.reason is None else f"  not even compared    {parity.reason}\n"
    return (
        f"{name} was not published: its ONNX form answers differently from the original.\n"
        f"  rows compared        {parity.rows} ({parity.probes} of them generated)\n"
        f"  labels that differ   {parity.label_disagreements}\n"
        f"  largest difference   {parity.max_abs_diff:.6g} absolute, {parity.max_rel_diff:.6g} relative\n"
        f"  rows beyond it       {parity.beyond_tolerance}, where the tolerance is {parity.tolerance:.6g} "
        "(of probabilities; of other numbers, as a part of their spread)\n"
        f"  precision            {parity.precision}\n"
        f"  worst row            {msgspec.json.encode(parity.worst_row).decode()}\n"
        f"{failed}"
        "Try precision='float64' (--precision float64); if the sample's own dtype decides (integers that wrap or "
        "exceed 2**53, float16), train on float64, or on identifiers as text; if such a difference is acceptable, raise the tolerance "
        "(--tolerance), or publish it as it is with allow_mismatch=True (--allow-mismatch), which is recorded."
    )
