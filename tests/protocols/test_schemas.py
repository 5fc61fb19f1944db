"""The schemas that are published of requests and answers are true of real ones."""

from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.protocols.codec import Codec
from foretell.signature import BATCH, Dimension, Signature, Tensor
from foretell.tensors import DTYPES, Array
from tests.parser.signatures import DTYPE_NAMES, Table, column, nested, packed, tables
from tests.protocols.codecs import (
    answer,
    decode,
    fits,
    fits_schema,
    native,
    refused,
    shown,
    simple,
    simple_batch,
)

STRICT = Signature(
    (Tensor("numbers", "float32", (BATCH, 2)), Tensor("texts", "string", (BATCH, 1))),
    (Tensor("y", "float32", (BATCH,)),),
    (
        column("age", "int64", "numbers", minimum=18, maximum=99),
        column("score", "float32", "numbers", missing="nan", minimum=-0.5, maximum=0.5),
        column("city", "string", "texts", categories=("Ulm", "Bonn")),
    ),
    enforce=("ranges", "categories"),
)


@given(table=tables(), first=st.integers(0, 4))
@settings(deadline=None, max_examples=50)
def test_every_form_of_a_valid_request_fits_the_schema_and_is_taken(table: Table, first: int) -> None:
    records = table.records()
    for codec, body in (
        (native(table.signature), {"instances": table.rows}),
        (native(table.signature), {"instances": records}),
        (native(table.signature), {"inputs": table.columns(), "signature_name": "x"}),
        (simple_batch(table.signature), {"instances": table.rows}),
        (simple(table.signature), {"features": table.rows[first % len(records)]}),
        (simple(table.signature), {"features": records[first % len(records)]}),
    ):
        assert fits_schema(codec, body)
        decode(codec, body)


@pytest.mark.parametrize(
    ("codec", "body"),
    [
        (native(STRICT), {"instances": [[30, 0, "Ulm", 1]]}),
        (native(STRICT), {"instances": [[30, 0]]}),
        (native(STRICT), {"instances": [[17, 0, "Ulm"]]}),
        (native(STRICT), {"instances": [[30, 0.6, "Ulm"]]}),
        (native(STRICT), {"instances": [[30, None, "Rom"]]}),
        (native(STRICT), {"instances": [[None, 0, "Ulm"]]}),
        (native(STRICT), {"instances": [[True, 0, "Ulm"]]}),
        (native(STRICT), {"instances": [{"age": 30, "score": 0}]}),
        (native(STRICT), {"instances": [{"age": 30, "score": 0, "city": "Ulm", "zip": 1}]}),
        (native(STRICT), {"instances": []}),
        (native(STRICT), {"instances": [[30, 0, "Ulm"]] * 11}),
        (native(STRICT), {"instances": [[30, 0, "Ulm"]], "other": 1}),
        (native(STRICT), {"inputs": {"age": [], "score": [], "city": []}}),
        (native(nested((None, 2))), {"instances": [[1, 2, 3]]}),
        (native(nested((None, 2))), {"inputs": {"p": [[1, "2"]]}}),
        (simple(STRICT), {}),
        (simple(packed(column("a", "uint8"), dtype="uint8")), {"features": 256}),
    ],
    ids=shown,
)
def test_what_the_decoder_refuses_does_not_fit_the_schema_either(codec: Codec, body: object) -> None:
    refused(codec, body)
    jsonschema.Draft202012Validator.check_schema(msgspec.json.schema(codec.request_type))
    assert not fits_schema(codec, body)


@st.composite
def outputs(draw: st.DrawFn) -> tuple[tuple[Tensor, ...], dict[str, Array], int]:
    """Outputs with a value for each row: what the signature says of them, and what a run gave."""
    rows = draw(st.integers(1, 3))
    described: list[Tensor] = []
    tensors: dict[str, Array] = {}
    for name in draw(st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True)):
        dtype = draw(DTYPE_NAMES)
        lengths = draw(st.lists(st.integers(0, 2), max_size=2))
        declared: list[Dimension] = [draw(st.sampled_from([length, None, "n"])) for length in lengths]
        described.append(Tensor(name, dtype, (BATCH, *declared)))
        shape = (rows, *lengths)
        kind = DTYPES[dtype].kind
        element: Any = {
            "bool": st.booleans(),
            "int": st.integers(0, 100),
            "float": st.floats(width=16),
            "string": st.text(max_size=3),
        }[kind]
        size = int(np.prod(shape))
        values = draw(st.lists(element, min_size=size, max_size=size))
        tensors[name] = np.array(values, dtype=DTYPES[dtype].numpy).reshape(shape)
    return tuple(described), tensors, rows


@given(case=outputs())
@settings(deadline=None)
def test_every_answer_fits_the_schema_of_answers(
    case: tuple[tuple[Tensor, ...], dict[str, Array], int],
) -> None:
    described, tensors, rows = case
    signature = Signature(
        STRICT.inputs[:1], described, (column("a", source="numbers"), column("b", source="numbers"))
    )
    body = {"instances": [[1, 2]] * rows}
    assert len(answer(native(signature), body, tensors)["predictions"]) == rows
    assert answer(simple_batch(signature), body, tensors)["count"] == rows
    columns = {"inputs": {"a": [1.0] * rows, "b": [2.0] * rows}}
    assert [*answer(native(signature), columns, tensors)["outputs"]] == [*tensors]
    one = {name: tensor[:1] for name, tensor in tensors.items()}
    answer(simple(signature), {"features": [1, 2]}, one)


@pytest.mark.parametrize(
    ("shape", "bad"),
    [((BATCH, 2), [[1.0]]), ((BATCH,), [[1.0]]), ((BATCH, 2), [["nan", 1.0]]), ((BATCH, 1), [None])],
    ids=["width", "rank", "spelling", "null"],
)
def test_an_answer_of_another_form_does_not_fit(shape: Any, bad: object) -> None:
    codec = native(Signature(STRICT.inputs, (Tensor("y", "float32", shape),), STRICT.columns))
    envelope = {"model_name": "m", "model_version": "3", "request_id": "id"}
    schema = codec.response_schema()
    assert not fits(schema, {"predictions": bad, **envelope})
    assert not fits(schema, {"predictions": []})
    assert fits(schema, {"predictions": [], **envelope})
