"""loadtests/bench/answers.py, dialects.py and models.py"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from loadtests.bench.answers import Asked, WrongAnswer, check
from loadtests.bench.dialects import INVOCATIONS, NATIVE, PLAIN, V1, V2, V2_BINARY, Dialect
from loadtests.bench.models import Model, Outputs, prepare

ROWS = np.array([[8.5, 2.0], [1.0, 3.0]])
MODEL = Model("pets", Path("store"), Path("model.onnx"), Path("pets.joblib"), np.dtype("float32"), 5)
OUTPUTS: Outputs = {
    "label": np.array(["cat", "dog"]),
    "probabilities": np.array([[0.75, 0.25], [0.5, 0.5]], np.float32),
}
LISTS = {name: value.tolist() for name, value in OUTPUTS.items()}
TENSORS = [
    {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["cat", "dog"]},
    {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.75, 0.25, 0.5, 0.5]},
]
BINARY_HEAD = msgspec.json.encode(
    {
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 14}},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [2, 2],
                "parameters": {"binary_data_size": 16},
            },
        ]
    }
)
BINARY = BINARY_HEAD + b"\3\0\0\0cat\3\0\0\0dog" + OUTPUTS["probabilities"].tobytes()

ANSWERS: dict[str, tuple[Dialect, bytes]] = {
    "native": (
        NATIVE,
        msgspec.json.encode(
            {
                "predictions": [
                    {"label": label, "probabilities": each}
                    for label, each in zip(*LISTS.values(), strict=True)
                ]
            }
        ),
    ),
    "plain": (PLAIN, msgspec.json.encode(LISTS)),
    "v1": (V1, msgspec.json.encode({"predictions": LISTS})),
    "v2": (V2, msgspec.json.encode({"outputs": TENSORS})),
    "v2-binary": (V2_BINARY, BINARY),
    "invocations": (INVOCATIONS, msgspec.json.encode({"predictions": LISTS})),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_dialect_reads_the_same_outputs(name: str) -> None:
    dialect, body = ANSWERS[name]
    headers = {"inference-header-content-length": str(len(BINARY_HEAD))}
    check(dialect.read(MODEL, headers, body), Asked(ROWS, {"session.run": OUTPUTS}))


@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "v2-binary"])
def test_every_dialect_of_json_asks_with_the_rows_as_they_are(name: str) -> None:
    dialect, _ = ANSWERS[name]
    request = dialect.request(MODEL, ROWS)
    assert b"8.5" in request.body
    content = msgspec.json.decode(request.body)
    data = content.get("instances") or content["inputs"]
    if isinstance(data[0], dict):
        assert (data[0]["shape"], data[0]["datatype"]) == ([2, 2], "FP32")
        data = np.reshape(data[0]["data"], data[0]["shape"]).tolist()
    assert data == ROWS.tolist()


def test_binary_rows_are_in_the_dtype_of_the_model() -> None:
    request = V2_BINARY.request(MODEL, ROWS)
    head = int(request.headers["Inference-Header-Content-Length"])
    assert np.frombuffer(request.body[head:], "<f4").reshape(2, 2).tolist() == ROWS.tolist()


def test_a_request_has_its_length_on_the_wire() -> None:
    request = PLAIN.request(MODEL, ROWS)
    head, _, body = request.encode().partition(b"\r\n\r\n")
    assert head.startswith(b"POST /predict HTTP/1.1\r\nHost: ")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    assert body == request.body


WRONG: dict[str, Outputs] = {
    "another label": OUTPUTS | {"label": np.array(["cat", "cat"])},
    "another number": OUTPUTS | {"probabilities": OUTPUTS["probabilities"] + np.float32(1e-3)},
    "not a number": OUTPUTS | {"probabilities": np.full((2, 2), np.nan, np.float32)},
    "texts for numbers": OUTPUTS | {"probabilities": OUTPUTS["probabilities"].astype(str)},
    "another shape": OUTPUTS | {"label": np.array([["cat"], ["dog"]])},
    "an output less": {"label": OUTPUTS["label"]},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_refused(name: str) -> None:
    with pytest.raises(WrongAnswer, match=r"where session\.run has"):
        check(WRONG[name], Asked(ROWS, {"session.run": OUTPUTS}))


def test_rounding_to_float32_is_no_wrong_answer() -> None:
    near = OUTPUTS | {"probabilities": OUTPUTS["probabilities"].astype(np.float64) + 1e-7}
    check(near, Asked(ROWS, {"session.run": OUTPUTS}))


def test_an_answer_must_agree_with_everybody_who_knows() -> None:
    other = OUTPUTS | {"label": np.array(["dog", "dog"])}
    with pytest.raises(WrongAnswer, match="where scikit-learn has"):
        check(OUTPUTS, Asked(ROWS, {"session.run": OUTPUTS, "scikit-learn": other}))


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return prepare("iris", tmp_path_factory.mktemp("iris"))


def test_the_estimator_and_its_onnx_model_agree(iris: Model) -> None:
    for rows in iris.questions(1, 20):
        check(iris.estimated(rows), Asked(rows, {"session.run": iris.truth(rows)}))


def test_questions_differ_and_hold_the_number_that_is_replaced_once(iris: Model) -> None:
    asked = iris.questions(2, 10)
    assert len({rows.tobytes() for rows in asked}) == 10
    assert all(rows.shape == (2, 4) for rows in asked)
    for rows in asked:
        assert PLAIN.request(iris, rows).body.count(iris.mark.encode()) == 1
    assert [rows.tolist() for rows in iris.questions(2, 10)] == [rows.tolist() for rows in asked]


def test_a_model_without_an_estimator_says_so(tmp_path: Path) -> None:
    heavy = prepare("heavy", tmp_path)
    assert heavy.truth(heavy.questions(3, 1)[0])["Y"].shape == (3, 4)
    with pytest.raises(ValueError, match="was not made by scikit-learn"):
        heavy.estimated(ROWS)
