"""From an estimator and a sample to a model that is proven to answer alike."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, Literal

import msgspec

from foretell.convert.arguments import check_arguments
from foretell.convert.frame import Frame
from foretell.convert.native import EXACT_IN_FLOAT32
from foretell.convert.original import Original
from foretell.convert.parity import compare
from foretell.convert.probes import make_probes
from foretell.convert.served import Served
from foretell.convert.sklearn_onnx import GraphInput, Precision, convert_estimator
from foretell.errors import ConversionError, MissingExtraError
from foretell.signature import Enforcement, Signature
from foretell.store.manifest import ParityReport, Provenance

__all__ = ["PROBES", "TOLERANCE", "Conversion", "convert"]

TOLERANCE: Final = 1e-5
"""The accepted difference: of probabilities, and of other numbers as a part of how the sample's answers vary.

A little above what float32 sums lose.
"""

PROBES: Final = 2000
"""How many rows are made up by default: enough to hit each split of a small forest, in about a second."""

_SAMPLE_ROWS: Final = 2000
"""How many rows of the sample are compared."""

_SEED: Final = 20240229
"""Probes are the same at each run."""


class Conversion(msgspec.Struct, frozen=True):
    """A converted model.

    Attributes:
        model: The ONNX file.
        signature: What it takes and gives.
        opset: The version of each operator set that it uses.
        provenance: Where it comes from.
        parity: How far its answers are from the original's.
    """

    model: bytes
    signature: Signature
    opset: dict[str, int]
    provenance: Provenance
    parity: ParityReport

    @property
    def agrees(self) -> bool:
        """Whether it answers as the original does, within the tolerance."""
        return self.parity.agrees


def convert(
    estimator: Any,
    sample: Any,
    *,
    enforce: Sequence[Enforcement] = (),
    tolerance: float = TOLERANCE,
    precision: Literal["auto", "float32", "float64"] = "auto",
    feature_names: Sequence[str] | None = None,
    probes: int = PROBES,
    on_progress: Callable[[str, float], None] | None = None,
) -> Conversion:
    """Convert a fitted estimator to ONNX and compare the two.

    Args:
        estimator: A fitted estimator or pipeline of scikit-learn.
        sample: Rows like those it was trained on, without the target: a DataFrame, an array, a list of rows, or a
            flat list of texts.
        enforce: Which observations of the sample every request must keep to.
        tolerance: The accepted difference: of probabilities as a number, of other numbers as a part of the spread of
            the original's answers on the sample (how far they typically are from their median).
        precision: The type that the ONNX form computes in. ``auto`` takes float32 where that answers alike, and
            float64 otherwise.
        feature_names: The names of the columns, for samples that have none.
        probes: How many rows to make up, where answers are most likely to differ.
        on_progress: Is told a stage (``convert``, ``probe`` or ``compare``) and the fraction of it that is done.

    Returns:
        The model with its report. It may say that the two do not agree: look at `Conversion.agrees`.

    Raises:
        ArgumentError: An argument is not of the allowed kind.
        ConversionError: There is no ONNX form, or the sample does not fit the estimator.
        MissingExtraError: The libraries that convert are not installed.
    """
    enforce = check_arguments(
        sample=sample,
        enforce=enforce,
        tolerance=tolerance,
        precision=precision,
        feature_names=feature_names,
    )
    _require()
    converter = _converter_for(estimator)
    frame = Frame.of(sample, estimator, feature_names)
    original = Original(estimator, frame)
    tell = on_progress or _silent
    with _one_thread():
        served, report = _climb(
            converter, original, enforce, tolerance=tolerance, precision=precision, probes=probes, tell=tell
        )
    tell("convert", 1.0)
    tell("compare", 1.0)
    return Conversion(served.model, served.signature, served.opset, _provenance(original), report)


def _climb(
    converter: _Converter,
    original: Original,
    enforce: Sequence[Enforcement],
    *,
    tolerance: float,
    precision: Literal["auto", "float32", "float64"],
    probes: int,
    tell: Callable[[str, float], None],
) -> tuple[Served, ParityReport]:
    """Convert in one precision after the other until one agrees; the better one if none does."""
    frame = original.frame
    generated = None
    best: tuple[Served, ParityReport] | None = None
    failure: ConversionError | None = None
    ladder: tuple[Precision, ...] = _ladder(frame) if precision == "auto" else (precision,)
    for rung, chosen in enumerate(ladder):
        tell("convert", rung / len(ladder))
        try:
            original.frame = frame
            served = converter(original, chosen, enforce)
        except ConversionError as error:
            failure = failure or error
            continue
        tell("convert", (rung + 1) / len(ladder))
        if generated is None:
            generated = make_probes(
                original,
                served.frame,
                probes,
                _SEED,
                lambda done: tell("probe", done),
                signature=served.signature,
            )
        report = compare(
            served,
            original,
            served.frame.rows[:_SAMPLE_ROWS],
            generated,
            tolerance=tolerance,
            precision=chosen,
            on_progress=partial(_tell_part, tell, rung, len(ladder)),
        )
        if best is None or _badness(report) < _badness(best[1]):
            best = served, report
        if report.agrees:
            break
    if best is None:
        raise failure or ConversionError(f"{original.name} has no ONNX form")
    return best


def _ladder(frame: Frame) -> tuple[Precision, ...]:
    """Which precisions to try, in order: float32 comes last where it cannot tell the sample's integers apart."""
    for at, column in enumerate(frame.columns):
        if column.kind == "int" and any(abs(value) > EXACT_IN_FLOAT32 for value in frame.present(at)):
            return "float64", "float32"
    return "float32", "float64"


def _badness(report: ParityReport) -> tuple[int, int, float]:
    return report.label_disagreements, report.beyond_tolerance, report.max_abs_diff


def _tell_part(tell: Callable[[str, float], None], rung: int, rungs: int, done: float) -> None:
    tell("compare", (rung + done) / rungs)


def _one_thread() -> AbstractContextManager[Any]:
    """Let the original answer in this thread: for batches as small as these, handing them to others takes longer."""
    threads: Any = importlib.import_module("threadpoolctl")
    limits: AbstractContextManager[Any] = threads.threadpool_limits(limits=1)
    return limits


def _silent(stage: str, done: float) -> None:
    del stage, done


# ---------------------------------------------------------------- libraries


_Converter = Callable[[Original, Precision, Sequence[Enforcement]], Served]
"""Converts an estimator in one precision."""


def _convert_scikit_learn(original: Original, precision: Precision, enforce: Sequence[Enforcement]) -> Served:
    estimator, frame = original.estimator, original.frame
    strings = [column.kind == "string" for column in frame.columns]
    single = [
        GraphInput(column.name, is_string, None if frame.form == "texts" else 1)
        for column, is_string in zip(frame.columns, strings, strict=True)
    ]
    if any(strings):
        return Served.of(convert_estimator(estimator, single, precision), original, precision, enforce)
    whole = [GraphInput("features", is_string=False, width=len(single))]
    try:
        proto = convert_estimator(estimator, whole, precision)
    except ConversionError as failure:
        # Steps that pick columns by name need one input for each.
        try:
            proto = convert_estimator(estimator, single, precision)
        except ConversionError:
            raise failure from None
    return Served.of(proto, original, precision, enforce)


_CONVERTERS: Final[dict[str, _Converter]] = {"sklearn": _convert_scikit_learn}
"""How to convert, by the top module of the estimator's class. Another library's converter is registered here."""


def _converter_for(estimator: Any) -> _Converter:
    for kind in type(estimator).__mro__:
        found = _CONVERTERS.get(kind.__module__.partition(".")[0])
        if found is not None:
            return found
    raise ConversionError(
        f"{type(estimator).__module__}.{type(estimator).__qualname__} is no estimator of scikit-learn: "
        "wrap it in one, or export it to ONNX with its own library and put model.onnx into the store"
    )


def _require() -> None:
    for name in ("onnx", "pandas", "skl2onnx", "sklearn"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError("convert", "converting an estimator")


def _provenance(original: Original) -> Provenance:
    version = importlib.metadata.version
    return Provenance(
        library="scikit-learn",
        library_version=version("scikit-learn"),
        estimator=original.name,
        converter={name: version(name) for name in ("skl2onnx", "onnx")},
        created_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        published_by=_own_version(),
    )


def _own_version() -> str:
    try:
        return importlib.metadata.version("foretell")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "0"
