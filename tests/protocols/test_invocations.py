"""The forms of MLflow, SageMaker and Vertex AI: tables in JSON and CSV become the same tensors as native rows."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.errors import ForetellError, InvalidInputError, MalformedError, UnsupportedMediaError
from foretell.parser import Parser, Tensors
from foretell.prediction import RequestRecord
from foretell.protocols.invocations import InvocationsCodec
from foretell.signature import Column, Signature, Tensor
from tests.protocols.codecs import answer, decode, malformed, native, refused

COLUMNS = (
    Column("age", "int64", "age"),
    Column("score", "float32", "score", missing="nan"),
    Column("city", "string", "city", missing="empty"),
    Column("member", "bool", "member"),
)
TABLE = Signature(
    tuple(Tensor(column.name, column.dtype, ("batch", 1)) for column in COLUMNS),
    (Tensor("label", "string", ("batch",)), Tensor("p", "float32", ("batch", 2))),
    COLUMNS,
    prediction="label",
)
MATRIX = Signature((Tensor("X", "float32", ("batch", 3)),), (Tensor("y", "float32", ("batch", 1)),))
ROWS: list[list[Any]] = [[30, 0.5, "Ulm", True], [41, None, None, False]]
NAMES = [column.name for column in COLUMNS]


def codec(signature: Signature, *, max_rows: int = 10) -> InvocationsCodec:
    parser = Parser(signature, max_rows=max_rows, name="m.3.")
    return InvocationsCodec(parser, model="m", version=3, name="m.3.")


def of_csv(text: str | bytes, signature: Signature = TABLE, media: bytes = b"text/csv") -> Tensors:
    record = RequestRecord("id", "invocations", 0, headers=[(b"content-type", media)])
    body = text if isinstance(text, bytes) else text.encode()
    return codec(signature).decode(body, record)[0].inputs


def same(left: Tensors, right: Tensors) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and _equal(left[name], right[name]) for name in left
    )


def _equal(left: Any, right: Any) -> bool:
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))


EXPECTED = decode(native(TABLE), {"instances": ROWS})


@pytest.mark.parametrize(
    "body",
    [
        {"instances": ROWS},
        {"instances": [dict(zip(NAMES, row, strict=True)) for row in ROWS]},
        {"dataframe_records": [dict(zip(NAMES, row, strict=True)) for row in ROWS]},
        {"dataframe_split": {"data": ROWS}},
        {"dataframe_split": {"columns": NAMES, "index": [7, 8], "data": ROWS}},
        {"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}},
        {"dataframe_split": {"columns": ["id", *NAMES], "data": [[9, *row] for row in ROWS]}},
        {"dataframe_records": [{"id": {"a": [9]}, **dict(zip(NAMES, row, strict=True))} for row in ROWS]},
        {"inputs": {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}},
        {"instances": ROWS, "params": {"x": 1}},
        {"instances": ROWS, "parameters": {"x": 1}},
        b'{"instances": [[30, 0.5, "Ulm", true], [41, NaN, null, false]]}',
    ],
    ids=[
        *("instances", "records", "dataframe_records", "split", "split and names", "another order"),
        *("more columns", "more in records", "inputs", "params", "parameters", "NaN"),
    ],
)
def test_every_form_gives_the_same_tensors(body: object) -> None:
    assert same(decode(codec(TABLE), body), EXPECTED)


@pytest.mark.parametrize(
    "text",
    [
        "age,score,city,member\n30,0.5,Ulm,true\n41,,,False\n",
        "age,score,city,member\r\n30,.5,Ulm,1\r\n41,NaN,NA,0",
        "\ufeffage,score,city,member\n30.0,5e-1,Ulm,TRUE\n+41,nan,null,FALSE\n",
        '30,0.5,"Ulm",true\n41,,,false\n',
        'member,id,city,score,age\ntrue,x,Ulm, 0.5 ,30\n\nfalse,"y\nz",,,41\n',
    ],
    ids=["pandas", "Excel", "byte order mark", "no names", "another order"],
)
def test_a_table_may_be_csv(text: str) -> None:
    assert same(of_csv(text), EXPECTED)
    assert same(of_csv(text, media=b"application/csv; charset=UTF-8"), EXPECTED)


def test_a_matrix_may_have_names_or_none() -> None:
    for body in ("1,2,3\n4,5,6.5\n", "a,b,c\n1,2,3\n4,5,6.5\n"):
        assert of_csv(body, MATRIX)["X"].tolist() == [[1, 2, 3], [4, 5, 6.5]]
    split = {"dataframe_split": {"columns": [0, 1, 2], "data": [[1, 2, 3]]}}
    assert decode(codec(MATRIX), split)["X"].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("body", "path", "text"),
    [
        ({}, "$", "send exactly one of"),
        ({"instances": ROWS, "inputs": {}}, "$.inputs", ""),
        ({"instances": ROWS, "dataframe_split": {"data": ROWS}}, "$", "and `instances`"),
        ({"instances": [[1]]}, "$.instances[0]", "expected 4 values"),
        ({"dataframe_split": {"data": [[True, 0.5, "Ulm", True]]}}, "$.dataframe_split.data[0][0]", "int"),
        (
            {
                "dataframe_split": {
                    "columns": ["score", "age", "city", "member"],
                    "data": [["x", 1, "U", True]],
                }
            },
            "$.dataframe_split.data[0].score",
            'got "x"',
        ),
        (
            {"dataframe_split": {"columns": ["agee", "score", "city", "member"], "data": ROWS}},
            "$.dataframe_split.columns",
            "'age' is missing",
        ),
        (
            {"dataframe_split": {"columns": ["age", *NAMES], "data": [[1, *row] for row in ROWS]}},
            "$.dataframe_split.columns",
            "'age' is there twice",
        ),
        (
            {"dataframe_split": {"columns": ["id", *NAMES], "data": ROWS}},
            "$.dataframe_split.data[0]",
            "expected 5 values",
        ),
        ({"dataframe_split": {"columns": NAMES[::-1], "data": 7}}, "$.dataframe_split.data", "rows"),
        ({"dataframe_split": {"data": []}}, "$.dataframe_split.data", "expected 1 or more rows"),
        ({"instance": ROWS}, "$", "instances"),
        ({"dataframe_split": {"columns": NAMES}}, "$.dataframe_split", "missing required field 'data'"),
        ({"dataframe_split": {"columns": [], "data": []}}, "$.dataframe_split.columns", "'age' is missing"),
        ({"dataframe_records": {"age": 1}}, "$.dataframe_records", "expected a list of objects"),
        ({"dataframe_records": [{"age": 1}]}, "$.dataframe_records[0]", "'score' is missing"),
    ],
    ids=[f"case-{number}" for number in range(16)],
)
def test_a_mistake_is_told_with_its_place(body: object, path: str, text: str) -> None:
    at, message = refused(codec(TABLE), body)
    assert (at, text in message) == (path, True), (at, message)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the body is empty"),
        ('"30,0.5', "no CSV"),
        (b"\xff\xfe", "not UTF-8"),
        ("age,score,city,member\n", "expected 1 or more rows"),
        ("age,score,city\n30,0.5,Ulm\n", "'member' is missing"),
        ("age,age,score,city,member\n1,30,0.5,Ulm,1\n", "'age' is there twice"),
        ("age,score,city,member\n30,0.5,Ulm\n", r"\$\[0\]: expected 4 values"),
        ("30,0.5,Ulm\n", r"\$\[0\]: expected 4 values \(age, score, city, member\), got 3"),
        ("age,score,city,member\nx,0.5,Ulm,1\n", r"\$\[0\]\[0\]: expected int, got \"x\""),
        ("age,score,city,member\n3.5,0.5,Ulm,1\n", r"\$\[0\]\[0\]: expected"),
        ("age,score,city,member\n1_0,0.5,Ulm,1\n", r"\$\[0\]\[0\]: expected"),
        ("age,score,city,member\n٣,0.5,Ulm,1\n", r"\$\[0\]\[0\]: expected"),
        ("age,score,city,member\n1,inf,Ulm,1\n", r"\$\[0\]\[1\]: expected"),
        ("age,score,city,member\n1,1e999,Ulm,1\n", r"\$\[0\]\[1\]: expected"),
        ("age,score,city,member\n,1,Ulm,1\n", r"\$\[0\]\[0\]: expected"),
        ("age,score,city,member\n1,1,Ulm,yes\n", r"\$\[0\]\[3\]: expected"),
        ("age,score,city,member\n" + "1" * 5000 + ",1,Ulm,1\n", r"\$\[0\]\[0\]: expected"),
        ("age,score,city,member\n" + "1,1,Ulm,1\n" * 11, "expected 1 to 10 rows, got more"),
    ],
    ids=[f"case-{number}" for number in range(18)],
)
def test_csv_that_is_no_table_of_the_model_is_refused(text: str | bytes, told: str) -> None:
    with pytest.raises((InvalidInputError, MalformedError), match=told):
        of_csv(text)


def test_other_media_and_charsets_are_not_accepted() -> None:
    for media in (b"text/csv; charset=latin-1", b"text/plain", b"application/json; charset=utf-16"):
        with pytest.raises(UnsupportedMediaError):
            codec(TABLE).check_media(media)
    taken: list[bytes | None] = [None, b"application/json", b"Text/CSV", b'text/csv; charset="utf-8"']
    for each in taken:
        codec(TABLE).check_media(each)
    assert "JSON" in malformed(codec(TABLE), b"{")
    assert malformed(codec(TABLE), b"1,2,3").endswith("a table wants Content-Type: text/csv")


def test_a_prediction_is_what_the_estimator_predicts() -> None:
    outputs: Tensors = {
        "label": np.array(["a", "b"], dtype=object),
        "p": np.array([[1, 0], [0, 1]], dtype=np.float32),
    }
    given = answer(codec(TABLE), {"instances": ROWS}, outputs)
    assert given == {"predictions": ["a", "b"], "model_name": "m", "model_version": "3", "request_id": "id"}
    rows = {"instances": [[1, 2, 3], [4, 5, 6]]}
    assert answer(codec(MATRIX), rows, {"y": np.array([[1], [2]], dtype=np.float32)})["predictions"] == [1, 2]


def test_a_first_line_with_a_number_is_a_row() -> None:
    for line in ("1,inf,3", "1,2,x", "1,2,1e400", "1,1_0,3"):
        with pytest.raises(InvalidInputError, match=r"\$\[0\]\[\d\]: expected"):
            of_csv(f"{line}\n4,5,6\n", MATRIX)
    scalars = Signature((Tensor("X", "float32", ("batch",)),), MATRIX.outputs)
    assert of_csv("1\n2\n", scalars)["X"].tolist() == [1, 2]
    assert of_csv("x\n1\n2\n", scalars)["X"].tolist() == [1, 2]


def test_a_hostile_table_is_refused_at_once() -> None:
    names = ",".join(NAMES)
    for body in (
        f"{names}\n{'1' * 130_000}x,1,Ulm,1\n",
        f"{'a,' * 1_000_000}{names}\n",
        f"{names}{',a' * 1_000_000}\n",
        ("," * 15 + "\n") * 500_000,
    ):
        began = time.process_time()
        with pytest.raises((InvalidInputError, MalformedError)):
            of_csv(body)
        assert time.process_time() - began < 1
    split = {"dataframe_split": {"columns": [*NAMES, *map(str, range(300_000))], "data": []}}
    began = time.process_time()
    assert refused(codec(TABLE), split)[0] == "$"
    assert time.process_time() - began < 2


CELLS = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.none()
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1).filter(
        lambda text: text not in {"NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None"}
    ),
    st.booleans(),
)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(CELLS, min_size=1, max_size=4), order=st.permutations(NAMES))
def test_what_pandas_writes_is_read(rows: list[tuple[Any, ...]], order: list[str]) -> None:
    frame = pd.DataFrame(rows, columns=pd.Index(NAMES), dtype=object)
    expected = decode(native(TABLE), {"instances": [list(row) for row in rows]})
    split = json.loads(frame[order].to_json(orient="split", double_precision=15))
    split["data"] = [[dict(zip(NAMES, row, strict=True))[name] for name in order] for row in rows]
    assert same(decode(codec(TABLE), {"dataframe_split": split}), expected)
    written = io.StringIO()
    frame[order].to_csv(written, index=False)
    assert same(of_csv(written.getvalue()), expected)


@settings(max_examples=80, deadline=None)
@given(text=st.text(alphabet='a1,.\n"\r;eE+-ageUlm ', max_size=60))
def test_no_text_is_a_fault(text: str) -> None:
    split = {"dataframe_split": {"columns": text.split(","), "data": [text.split(",")]}}
    for signature in (TABLE, MATRIX):
        for refusal in (_refusal(of_csv, text, signature), _refusal(decode, codec(signature), split)):
            assert len(refusal) < 600


def _refusal(ask: Callable[..., object], *arguments: object) -> str:
    """What a request is refused with; empty if it is taken."""
    try:
        ask(*arguments)
    except ForetellError as error:
        return str(error)
    return ""
