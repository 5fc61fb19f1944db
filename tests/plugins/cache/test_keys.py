"""Two questions have one key exactly if version, wanted outputs and inputs are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foretell.plugin import PredictRequest, RequestRecord
from foretell_plugins.cache.keys import Keys
from tests.plugin.chains import info


def ask(inputs: dict[str, Any], outputs: tuple[str, ...] | None = None, **record: Any) -> PredictRequest:
    return PredictRequest(inputs, 1, RequestRecord("id", "native", 0, **record), outputs)


def floats(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([values], dtype=np.float32)


def key_of(keys: Keys, request: PredictRequest) -> bytes:
    """The key of a question that is not large."""
    key = keys.of(request)
    assert key is not None
    return key


def test_a_key_for_all_versions_has_128_bits() -> None:
    keys = Keys(info())
    assert len(keys.digest(key_of(keys, ask({"X": floats(1, 2)})))) == 16


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 1000, 100_000])
def test_a_key_stays_short_and_every_value_counts(length: int) -> None:
    keys, values = Keys(info()), np.zeros((1, length), dtype=np.float32)
    key = key_of(keys, ask({"X": values}))
    assert len(key) < 600
    for place in {0, length // 2, length - 1}:
        other = values.copy()
        other[0, place] = 1
        assert keys.of(ask({"X": other})) != key


def test_the_order_of_bytes_counts() -> None:
    keys = Keys(info())
    little = np.array([[1, 2]], dtype="<i4")
    big = np.frombuffer(little.tobytes(), dtype=">i4").reshape(1, 2)  # the same bytes, other numbers
    assert keys.of(ask({"X": little})) != keys.of(ask({"X": big}))


def test_the_same_question_has_the_same_key_whoever_asks_and_however() -> None:
    one = PredictRequest(
        {"X": floats(1, 2)}, 1, RequestRecord("a", "native", 1, headers=[(b"x", b"1")], path="/predict")
    )
    other = PredictRequest({"X": floats(1, 2)}, 1, RequestRecord("b", "simple", 2, headers=[(b"y", b"2")]))
    assert Keys(info()).of(one) == Keys(info()).of(other)


def test_the_layout_in_memory_does_not_count() -> None:
    keys = Keys(info())
    turned = np.array([[1, 3], [2, 4]], dtype=np.float32).T
    straight = np.array([[1, 2], [3, 4]], dtype=np.float32)
    assert keys.of(ask({"X": turned})) == keys.of(ask({"X": straight}))


OTHERS: dict[str, tuple[dict[str, Any], tuple[str, ...] | None]] = {
    "value": ({"X": floats(1, 3)}, None),
    "order of values": ({"X": floats(2, 1)}, None),
    "negative zero": ({"X": floats(-0.0, 2)}, None),
    "shape": ({"X": floats(1, 2).T.copy()}, None),
    "rank": ({"X": floats(1, 2)[0]}, None),
    "dtype of the same bytes": ({"X": floats(1, 2).view(np.int32)}, None),
    "wider dtype": ({"X": floats(1, 2).astype(np.float64)}, None),
    "name of the input": ({"Z": floats(1, 2)}, None),
    "more inputs": ({"X": floats(1, 2), "Z": floats(1, 2)}, None),
    "split over two inputs": ({"X": floats(1), "Z": floats(2)}, None),
    "wanted outputs": ({"X": floats(1, 2)}, ("Y",)),
    "no outputs": ({"X": floats(1, 2)}, ()),
    "texts": ({"X": np.array([["1", "2"]], dtype=object)}, None),
    "empty": ({"X": np.empty((1, 0), dtype=np.float32)}, None),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_question_has_another_key(other: tuple[dict[str, Any], tuple[str, ...] | None]) -> None:
    keys = Keys(info())
    assert keys.of(ask(*other)) != keys.of(ask({"X": floats(1, 2)}))


@pytest.mark.parametrize(
    "other",
    [info(name="n"), info(version=2), info(fingerprint="f2")],
    ids=["model", "version", "files"],
)
def test_another_version_has_other_keys(other: Any) -> None:
    question = ask({"X": floats(1, 2)})
    one, another = Keys(info()), Keys(other)
    assert one.digest(key_of(one, question)) != another.digest(key_of(another, question))


def test_texts_are_told_apart_where_they_begin_and_end() -> None:
    keys = Keys(info())
    texts = [["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"], ["a,b", "c"], ["ab", "c\0"]]
    found = {keys.of(ask({"X": np.array([row], dtype=object)})) for row in texts}
    assert len(found) == len(texts)


_tensors = st.one_of(
    arrays.arrays(
        st.sampled_from([np.dtype(name) for name in ("float32", "int64", "bool", "uint8", "float16")]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    arrays.arrays(
        np.dtype(object), arrays.array_shapes(max_dims=2, max_side=3), elements=st.text(max_size=3)
    ),
)


@given(_tensors, _tensors)
def test_keys_are_equal_exactly_if_the_tensors_are(one: Any, other: Any) -> None:
    keys = Keys(info())
    same = (
        one.dtype == other.dtype
        and one.shape == other.shape
        and (one.tolist() == other.tolist() if one.dtype.hasobject else one.tobytes() == other.tobytes())
    )
    assert (keys.of(ask({"X": one})) == keys.of(ask({"X": other}))) is same


def test_many_forms_of_questions_are_not_all_remembered() -> None:
    keys = Keys(info())
    first = keys.of(ask({"X": np.zeros((1, 1), dtype=np.float32)}))
    for rows in range(1, 1000):
        keys.of(ask({"X": np.zeros((rows, 1), dtype=np.float32)}))
    assert len(keys._forms) <= 256
    assert keys.of(ask({"X": np.zeros((1, 1), dtype=np.float32)})) == first


LARGE = 300_000


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((1, LARGE), dtype=np.float32),
        np.zeros((LARGE, 2), dtype=np.float32).T,
        np.full((1, LARGE), "a", dtype=object),
        np.zeros((1, LARGE), dtype=">f4"),
    ],
    ids=["numbers", "turned", "texts", "big-endian"],
)
def test_a_large_question_gets_its_key_elsewhere_and_every_value_counts(values: Any) -> None:
    keys = Keys(info())
    assert keys.of(ask({"X": values})) is None
    key = keys.of_large(ask({"X": values}))
    assert len(key) < 600
    assert keys.of_large(ask({"X": values.copy()})) == key
    for place in (0, LARGE // 2, -1):
        other = values.copy()
        other[0, place] = "b" if values.dtype.hasobject else 1
        assert keys.of_large(ask({"X": other})) != key


def test_who_owns_a_key_counts_here_and_not_for_others() -> None:
    question, one, other = ask({"X": floats(1, 2)}), Keys(info(), 1), Keys(info(), 2)
    assert key_of(one, question) != key_of(other, question)
    assert one.digest(key_of(one, question)) == other.digest(key_of(other, question))
    before = key_of(one, question)
    one.begin_anew(3)
    assert key_of(one, question) != before
    assert before.startswith((1).to_bytes(8))
    assert key_of(one, question).startswith(one.owner)
