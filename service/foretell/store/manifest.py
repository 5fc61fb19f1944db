"""manifest.json: what a published version is, written once by `publish` and never edited."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from foretell.errors import ManifestError
from foretell.signature import Signature

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_FILE",
    "MODEL_FILE",
    "FileDigest",
    "Manifest",
    "ParityReport",
    "Provenance",
]

FORMAT_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
MODEL_FILE: Final = "model.onnx"


class FileDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The size and SHA-256 of one file of a version.

    Attributes:
        size_bytes: Its length.
        sha256: Its digest, 64 lower-case hexadecimal digits.
    """

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileDigest:
        """Measure a file.

        Raises:
            OSError: It cannot be read.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return cls(file.tell(), digest.hexdigest())


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a version comes from.

    Attributes:
        library: The library that trained the model, for instance ``scikit-learn``.
        library_version: The version of it that was installed at publishing.
        estimator: The class of the estimator, or of a pipeline's last step.
        converter: The libraries that made the ONNX form, with their versions.
        created_at: RFC 3339, UTC.
        published_by: foretell's version.
    """

    library: str
    library_version: str
    estimator: str
    converter: dict[str, str]
    created_at: str
    published_by: str


class ParityReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far the ONNX form's answers are from the original's.

    Attributes:
        rows: How many rows were compared: sample and probes together.
        probes: How many of them were generated (thresholds straddled, missing values).
        max_abs_diff: The largest absolute difference between two numbers.
        max_rel_diff: The largest relative difference of numbers that are beyond the accepted difference from zero.
        label_disagreements: Rows where the class labels differ although the original is decided.
        ties: Rows where they differ and either would do: the original's best two classes are within the tolerance of
            each other, as a part of how far apart they typically are, or it gives the other answer itself a few float64 steps beside the row.
        tolerance: The difference that was accepted: of probabilities as a number, and of other numbers as a part of
            the spread of the original's answers on the sample.
        worst_row: The row with the worst disagreement, as JSON values; None if every row agrees exactly.
        precision: The floating-point type that the ONNX form computes in.
        accepted_mismatch: Whether it was published although it does not agree.
        beyond_tolerance: Rows with a number that differs by more than the tolerance.
        reason: What kept rows from being compared at all; they count as disagreements.
    """

    rows: int
    probes: int
    max_abs_diff: float
    max_rel_diff: float
    label_disagreements: int
    ties: int
    tolerance: float
    precision: Literal["float32", "float64"]
    worst_row: tuple[object, ...] | None = None
    accepted_mismatch: bool = False
    beyond_tolerance: int = 0
    reason: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether every row that was compared agrees within the tolerance."""
        return not (self.label_disagreements or self.beyond_tolerance or self.reason)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a published version is.

    Attributes:
        format_version: The version of this format, so that an older foretell refuses a newer store by name.
        files: Every file of the version but the manifest, by its name inside the version's folder.
        signature: What the model takes and gives.
        opset: The version of each operator set that the graph uses; the key of ONNX's own is ``ai.onnx``.
        provenance: Where it comes from.
        description: What the publisher says of it.
        parity: The comparison with the original estimator.
    """

    format_version: int
    files: dict[str, FileDigest]
    signature: Signature
    opset: dict[str, int]
    provenance: Provenance | None = None
    description: str = ""
    parity: ParityReport | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the model file: what identifies the artifact."""
        return self.files[MODEL_FILE].sha256

    def encode(self) -> bytes:
        """The manifest as indented JSON, ready to be written.

        Raises:
            ManifestError: It could not be read again.
        """
        try:
            raw = msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
            _MANIFEST_DECODER.decode(raw)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            msg = f"the manifest cannot be written so that it can be read again: {error}"
            raise ManifestError(msg) from error
        return raw

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises:
            ManifestError: It is absent, malformed, of another format version, or names no model file.
        """
        try:
            raw = path.read_bytes()
            version = _VERSION_DECODER.decode(raw).format_version
            if version != FORMAT_VERSION:
                msg = f"{path} has format version {version}; this foretell reads {FORMAT_VERSION}: upgrade foretell"
                raise ManifestError(msg)
            manifest = _MANIFEST_DECODER.decode(raw)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            msg = f"{path} is not a manifest: {error}"
            raise ManifestError(msg) from error
        if MODEL_FILE not in manifest.files:
            msg = f"{path} lists no {MODEL_FILE} under `files`"
            raise ManifestError(msg)
        return manifest


class _Version(msgspec.Struct, frozen=True):
    format_version: int


# Made here, once: versions load in several threads, and msgspec 0.22 crashes where two prepare one type at a time.
_VERSION_DECODER = msgspec.json.Decoder(_Version)
_MANIFEST_DECODER = msgspec.json.Decoder(Manifest)
