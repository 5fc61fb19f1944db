"""What a team sets: which requests are mirrored where, how much that may take, and when two answers agree."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from foretell.store.layout import check_alias, check_model_name, parse_version

__all__ = ["ShadowConfig", "Target"]

_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Tolerance = Annotated[float, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
_Bytes = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class Target(NamedTuple):
    """What mirrored requests are asked of.

    Attributes:
        model: The model's name; None for the model that is mirrored.
        version: The version's number or alias; None for the one that answers by default.
    """

    model: str | None
    version: int | str | None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read what stands in the settings: ``candidate``, ``3``, ``model:small`` or ``model:small/stable``.

        Raises:
            ValueError: It cannot name a version.
        """
        version, model = text, None
        if text.startswith("model:"):
            model, slash, version = text.removeprefix("model:").partition("/")
            check_model_name(model)
            if not slash:
                return cls(model, None)
        number = parse_version(version)
        return cls(model, check_alias(version) if number is None else number)


class ShadowConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shadow of a model.

    Attributes:
        target: What mirrored requests are asked of: an alias or number of the same model, ``model:<name>`` or
            ``model:<name>/<alias or number>``. Nothing is mirrored without.
        fraction: Which fraction of the requests is mirrored, 0 to 1.
        outputs: The outputs in which two answers must agree; if none is named, the one that holds the prediction.
        rtol: How far two floats may lie apart and still agree, as a fraction of the caller's.
        atol: The same as a number, which is added to that.
        deadline_s: How long a mirrored request may take, seconds.
        max_running: How many mirrored requests of one version are asked at once. With one, they take one thread at
            the most from the callers.
        max_pending: How many mirrored requests of one version may wait for that. What comes then is dropped.
        max_pending_bytes: How much memory the tensors of those may take, bytes.
    """

    target: str | None = None
    fraction: _Fraction = 1.0
    outputs: tuple[str, ...] = ()
    rtol: _Tolerance = 0.01
    atol: _Tolerance = 1e-6
    deadline_s: _Seconds = 1.0
    max_running: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    max_pending: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    max_pending_bytes: _Bytes = 16 * 1024**2

    def __post_init__(self) -> None:
        if self.target is not None:
            Target.parse(self.target)
