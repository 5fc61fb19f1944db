"""What comes from elsewhere is an answer only if the version could have given it to that question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foretell.plugin import PredictRequest, RequestRecord
from foretell.signature import Signature, Tensor
from foretell_plugins.cache.expected import is_expected

SIGNATURE = Signature(
    (Tensor("X", "float32", ("batch", "columns")),),
    (
        Tensor("Y", "float32", ("batch", 2)),
        Tensor("label", "string", (None,)),
        Tensor("sums", "float64", ("columns", None, "other")),
    ),
)


def ask(outputs: tuple[str, ...] | None = None) -> PredictRequest:
    inputs = {"X": np.zeros((3, 4), dtype=np.float32)}
    return PredictRequest(inputs, 3, RequestRecord("r", "native", 0), outputs)


def answer(**others: Any) -> dict[str, Any]:
    good = {
        "Y": np.zeros((3, 2), dtype=np.float32),
        "label": np.array(["a"] * 3, dtype=object),
        "sums": np.zeros((4, 7, 9)),
    }
    return {name: array for name, array in {**good, **others}.items() if array is not None}


def test_what_the_version_gives_is_expected() -> None:
    assert is_expected(answer(), SIGNATURE, ask())


def test_of_the_wanted_outputs_none_may_lack_and_no_other_be_there() -> None:
    wanted = ask(("sums", "Y"))
    both = {"sums": answer()["sums"], "Y": answer()["Y"]}
    assert is_expected(both, SIGNATURE, wanted)
    assert not is_expected(dict(reversed(both.items())), SIGNATURE, wanted)
    assert not is_expected(answer(), SIGNATURE, wanted)
    assert not is_expected({"Y": both["Y"]}, SIGNATURE, wanted)
    assert not is_expected({"Z": both["Y"]}, SIGNATURE, ask(("Z",)))


OTHERS: dict[str, dict[str, Any]] = {
    "an output lacks": {"label": None},
    "an output more": {"Z": np.zeros(3)},
    "another dtype": {"Y": np.zeros((3, 2))},
    "another order of bytes": {"Y": np.zeros((3, 2), dtype=">f4")},
    "numbers for texts": {"label": np.zeros(3)},
    "other rows": {"Y": np.zeros((2, 2), dtype=np.float32)},
    "other rows where the axis has no name": {"label": np.array(["a"], dtype=object)},
    "another length": {"Y": np.zeros((3, 3), dtype=np.float32)},
    "another length than the input has": {"sums": np.zeros((3, 7, 9))},
    "another rank": {"Y": np.zeros((3, 2, 1), dtype=np.float32)},
}


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
def test_anything_else_is_not(others: dict[str, Any]) -> None:
    assert not is_expected(answer(**others), SIGNATURE, ask())
