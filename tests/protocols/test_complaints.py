"""What is wrong with a request is said so that the caller can mend it: place, value, remedy."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import InvalidInputError, MalformedError
from foretell.excerpts import shortened
from foretell.protocols import complaints
from foretell.protocols.codec import Codec
from foretell.protocols.complaints import DECODE_ERRORS, complaint
from foretell.signature import BATCH, Signature, Tensor
from tests.parser.signatures import ODD_NAMES, PREDICTION, column, nested, packed, separate
from tests.protocols.codecs import (
    body_of,
    decode,
    malformed,
    native,
    record,
    refused,
    shown,
    simple,
    simple_batch,
)

TWO = packed(column("age"), column("income"))
MIXED = Signature(
    (Tensor("numbers", "float32", (BATCH, 3)), Tensor("texts", "string", (BATCH, 1))),
    (PREDICTION,),
    (
        column("age", "int8", "numbers", minimum=18, maximum=99),
        column("score", "float32", "numbers", minimum=-0.5, maximum=0.5),
        column("member", "bool", "numbers"),
        column("city", "string", "texts", categories=("Ulm", "Bonn")),
    ),
    enforce=("ranges", "categories"),
)
GOOD: dict[str, Any] = {"age": 30, "score": 0, "member": True, "city": "Ulm"}
CHOICE = packed(column("a", "string", categories=("u", "v")), dtype="string", enforce=("categories",))


def instances(*rows: object) -> dict[str, object]:
    return {"instances": list(rows)}


@pytest.mark.parametrize(
    ("row", "place", "message"),
    [
        ({**GOOD, "age": "30"}, ".age", 'expected int, got "30"'),
        ({**GOOD, "age": 30.0}, ".age", "expected int, got 30.0"),
        ({**GOOD, "age": 17}, ".age", "expected int >= 18, got 17"),
        ({**GOOD, "age": 100}, ".age", "expected int <= 99, got 100"),
        ({**GOOD, "age": 10**30}, ".age", f"expected int <= 99, got {10**30}"),
        ({**GOOD, "score": -0.6}, ".score", "expected float >= -0.5, got -0.6"),
        ({**GOOD, "score": True}, ".score", "expected float, got true"),
        ({**GOOD, "score": None}, ".score", "expected float, got null; this value may not be missing"),
        ({**GOOD, "member": 1}, ".member", "expected bool, got 1"),
        ({**GOOD, "member": {"is": True}}, ".member", 'expected bool, got {"is":true}'),
        ({**GOOD, "city": "Köln"}, ".city", "expected one of 'Ulm', 'Bonn', got \"Köln\""),
        ({**GOOD, "city": 5}, ".city", "expected str, got 5"),
        ({**GOOD, "city": ["Ulm"]}, ".city", 'expected str, got ["Ulm"]'),
        ([30, 0, True, "Köln"], "[3]", "expected one of 'Ulm', 'Bonn', got \"Köln\""),
        ([30, 0, None, "Ulm"], "[2]", "expected bool, got null; this value may not be missing"),
        ([17, 0, True, "Ulm"], "[0]", "expected int >= 18, got 17"),
        ([30, 0, True], "", "expected 4 values ('age', 'score', 'member', 'city'), got 3"),
        ([30, 0, True, "Ulm", 1], "", "expected 4 values ('age', 'score', 'member', 'city'), got 5"),
        ([], "", "expected 4 values ('age', 'score', 'member', 'city'), got 0"),
        (5, "", "expected object or list, got 5"),
        (None, "", "expected object or list, got null; this value may not be missing"),
        (
            {"age": 30, "score": 0, "city": "Ulm"},
            "",
            "'member' is missing: expected 'age', 'score', 'member', 'city', got 'age', 'score', 'city'",
        ),
        ({}, "", "'age' is missing: expected 'age', 'score', 'member', 'city'"),
        (
            {**GOOD, "zip": 89073},
            "",
            "'zip' is not known: expected 'age', 'score', 'member', 'city'",
        ),
        (
            {"age": 30, "scor": 0, "member": True, "city": "Ulm"},
            "",
            "'scor' is not known: did you mean 'score'? expected 'age', 'score', 'member', 'city'",
        ),
    ],
    ids=lambda value: json.dumps(value) if not isinstance(value, str) else "",
)
def test_a_bad_row_is_refused_with_place_value_and_remedy(row: object, place: str, message: str) -> None:
    assert refused(native(MIXED), instances(GOOD, row)) == (f"$.instances[1]{place}", message)
    assert refused(simple_batch(MIXED), instances(GOOD, row)) == (f"$.instances[1]{place}", message)
    assert refused(simple(MIXED), {"features": row}) == (f"$.features{place}", message)


@pytest.mark.parametrize(
    ("columns", "place", "message"),
    [
        ({"age": [1, "x"], "income": [1, 2]}, ".age[1]", 'expected float, got "x"'),
        ({"age": [1]}, "", "'income' is missing: expected 'age', 'income', got 'age'"),
        (
            {"age": [1], "incme": [1]},
            "",
            "'incme' is not known: did you mean 'income'? expected 'age', 'income'",
        ),
        ({"age": [], "income": []}, ".age", "expected 1 or more rows, got 0"),
        ({"age": [1] * 11, "income": [1]}, ".age", "expected 10 or fewer rows, got 11"),
        ({"age": 5, "income": [1]}, ".age", "expected list, got 5"),
        ([[1, 2], [3]], "[1]", "expected 2 values ('age', 'income'), got 1"),
        ([], "", "expected 1 or more rows, got 0"),
        ([[1, 2]] * 11, "", "expected 10 or fewer rows, got 11"),
        (None, "", "expected object or list, got null; this value may not be missing"),
    ],
    ids=lambda value: json.dumps(value) if not isinstance(value, str) else "",
)
def test_a_bad_column_form_is_refused_with_place_value_and_remedy(
    columns: object, place: str, message: str
) -> None:
    assert refused(native(TWO), {"inputs": columns}) == (f"$.inputs{place}", message)


@pytest.mark.parametrize(
    ("codec", "body", "message"),
    [
        (native(TWO), {}, "send either `instances` (rows) or `inputs` (columns)"),
        (
            native(TWO),
            {**instances([1, 2]), "inputs": [[1, 2]]},
            "send either `instances` (rows) or `inputs` (columns)",
        ),
        (native(nested(())), {}, "send `inputs`: this model's inputs share no first axis to be rows"),
        (native(TWO), [1], "expected object, got [1]"),
        (native(TWO), "instances", 'expected object, got "instances"'),
        (native(TWO), None, "expected object, got null"),
        (
            native(TWO),
            {"instance": []},
            "'instance' is not known: did you mean 'instances'? expected 'instances', 'inputs', 'signature_name'",
        ),
        (
            native(TWO),
            {**instances([1, 2]), "age": 1},
            "'age' is not known: expected 'instances', 'inputs', 'signature_name'",
        ),
        (native(nested(())), instances(1), "'instances' is not known: expected 'inputs', 'signature_name'"),
        (simple(TWO), {}, "'features' is missing: expected 'features'"),
        (
            simple(TWO),
            {"feature": [1, 2]},
            "'feature' is not known: did you mean 'features'? expected 'features'",
        ),
        (simple(TWO), {"age": 1}, "'age' is not known: expected 'features'"),
        (simple_batch(TWO), {"features": [1, 2]}, "'features' is not known: expected 'instances'"),
    ],
    ids=[
        "neither form",
        "both forms",
        "no form without rows",
        "list",
        "string",
        "null",
        "misspelt",
        "columns outside",
        "rows of a model without rows",
        "no features",
        "misspelt features",
        "record without envelope",
        "features in a batch",
    ],
)
def test_a_bad_envelope_is_refused(codec: Codec, body: object, message: str) -> None:
    assert refused(codec, body) == ("$", message)


@pytest.mark.parametrize("codec", [native(TWO), simple_batch(TWO)], ids=["native", "simple"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected 1 or more rows, got 0"),
        ([[1, 2]] * 11, "expected 10 or fewer rows, got 11"),
        (5, "expected list, got 5"),
        ({"age": 1, "income": 2}, 'expected list, got {"age":1,"income":2}'),
    ],
    ids=["none", "too many", "number", "record"],
)
def test_a_bad_list_of_rows_is_refused(codec: Codec, rows: object, message: str) -> None:
    assert refused(codec, {"instances": rows}) == ("$.instances", message)


@pytest.mark.parametrize(
    ("codec", "body", "place"),
    [
        (native(CHOICE), instances("u", "w"), "$.instances[1]"),
        (native(CHOICE), instances("u", ["w"]), "$.instances[1][0]"),
        (native(CHOICE), instances("u", {"a": "w"}), "$.instances[1].a"),
        (native(CHOICE), {"inputs": {"a": ["u", "w"]}}, "$.inputs.a[1]"),
        (native(CHOICE), {"inputs": [["u"], ["w"]]}, "$.inputs[1][0]"),
        (simple(CHOICE), {"features": "w"}, "$.features"),
        (simple(CHOICE), {"features": ["w"]}, "$.features[0]"),
        (simple(CHOICE), {"features": {"a": "w"}}, "$.features.a"),
    ],
    ids=shown,
)
def test_the_categories_are_named_wherever_the_value_stands(codec: Codec, body: object, place: str) -> None:
    assert refused(codec, body) == (place, "expected one of 'u', 'v', got \"w\"")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_place_and_the_value_are_right_under_any_name(name: str) -> None:
    first = column("first", "string", categories=("x",))
    odd = column(name, "string", categories=("u", "v"))
    last = column("last", "string", categories=("y",))
    signature = packed(first, odd, last, dtype="string", enforce=("categories",))
    expected = "expected one of 'u', 'v', got \"w\""
    assert refused(native(signature), instances(["x", "w", "y"])) == ("$.instances[0][1]", expected)
    record = {"first": "x", name: "w", "last": "y"}
    assert refused(native(signature), instances(record)) == (f"$.instances[0].{name}", expected)
    assert refused(simple(signature), {"features": record}) == (f"$.features.{name}", expected)
    columns = {"first": ["x"], name: ["w"], "last": ["y"]}
    assert refused(native(signature), {"inputs": columns}) == (f"$.inputs.{name}[0]", expected)
    empty = {"first": ["x"], name: [], "last": ["y"]}
    assert refused(native(signature), {"inputs": empty}) == (
        f"$.inputs.{name}",
        "expected 1 or more rows, got 0",
    )


@pytest.mark.parametrize(
    "value", ["w' - at `$.a", "' - at `$[", " - at `$", "'", '"', "it's `$`", "\n"], ids=ascii
)
def test_the_place_is_right_whatever_the_value_looks_like(value: str) -> None:
    place, message = refused(native(CHOICE), instances("u", {"a": value}))
    assert place == "$.instances[1].a"
    assert message == f"expected one of 'u', 'v', got {json.dumps(value)}"


@pytest.mark.parametrize("name", ["' - at `$[7]", "' - at `$.x", "' - at `$.inputs.instances"])
def test_the_place_is_right_though_a_column_s_name_imitates_one(name: str) -> None:
    columns = column("a", "string"), column(name, "string", categories=("u",))
    signature = packed(*columns, dtype="string", enforce=("categories",))
    assert refused(native(signature), instances({"a": "", name: "w"})) == (
        f"$.instances[0].{name}",
        "expected one of 'u', got \"w\"",
    )


IMITATIONS = st.lists(
    st.sampled_from(
        ["z", "` - at `$", "' - at `$", " - at `$", ".instances", ".age", "[0]", "[", "]", "`", "'"]
    )
    | st.text(max_size=2)
    | st.just("[" + "9" * 5000 + "]"),
    min_size=1,
    max_size=6,
).map("".join)


@given(
    key=IMITATIONS.filter(lambda key: key not in {"instances", "inputs", "signature_name", "age", "income"})
)
def test_the_place_is_never_taken_from_a_key(key: str) -> None:
    for ascii_only in (True, False):

        def place(body: object, ascii_only: bool = ascii_only) -> tuple[str, str]:
            text = json.dumps(body, ensure_ascii=ascii_only)
            return refused(native(TWO), text.encode("utf-8", "surrogatepass"))

        for expected, body in (
            ("$", {key: 1}),
            ("$", {**instances([1, 2]), key: [1]}),
            ("$.instances[1]", instances([1, 2], {"age": 1, "income": 2, key: 3})),
            ("$.inputs", {"inputs": {"age": [1], key: [2]}}),
        ):
            found, message = place(body)
            assert found == expected
            assert message.startswith(f"{shortened(key)!r} is not known")


@given(value=IMITATIONS)
def test_the_place_is_never_taken_from_a_value(value: str) -> None:
    assert refused(native(CHOICE), instances("u", {"a": value}))[0] == "$.instances[1].a"
    assert refused(native(TWO), instances([1, value]))[0] == "$.instances[0][1]"


def test_a_key_of_a_long_body_does_not_give_the_place_either() -> None:
    body = b'{"z` - at `$.instances[0]": 1, "pad": "%s"}' % (b"x" * 10**6)
    assert refused(native(TWO), body)[0] == "$"


def test_a_long_body_is_refused_with_its_place_but_not_read_again_for_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    decode_json = msgspec.json.decode

    def count(body: bytes, **options: Any) -> Any:
        read.append(len(body))
        return decode_json(body, **options)

    monkeypatch.setattr(msgspec.json, "decode", count)
    rest = [[1, 2]] * 2
    assert refused(native(TWO), instances(["x", 2], *rest)) == (
        "$.instances[0][0]",
        'expected float, got "x"',
    )
    assert len(read) == 1
    long = body_of(instances(["x", 2], *rest)).ljust(10**6)
    assert refused(native(TWO), long) == ("$.instances[0][0]", "expected float, got str")
    assert refused(native(TWO), body_of(instances(*[[1, 2]] * 11)).ljust(10**6)) == (
        "$.instances",
        "expected 10 or fewer rows",
    )
    assert len(read) == 1


def test_of_many_columns_only_the_similar_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def close(name: str, known: Sequence[str], n: int) -> list[str]:
        compared.append(len(known))
        return get_close_matches(name, known, n=n)

    monkeypatch.setattr(complaints, "get_close_matches", close)
    signature = packed(*(column(f"feature_number_{at:04}") for at in range(1000)))
    message = refused(native(signature), instances({"feature_numbre_0421": 1}))[1]
    assert "did you mean 'feature_number_0421'?" in message
    assert max(compared) <= 50


@pytest.mark.parametrize(
    "name",
    [
        *ODD_NAMES,
        " - at `$[",
        " - at `$",
        "x` - at `$[",
        "x` - at `$.instances[0]",
        "`",
        "Expected",
        '"',
        "\\",
        "\n",
        "\0",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("where", ["body", "row", "features", "columns"])
def test_an_unknown_key_is_refused_whatever_its_name(name: str, where: str) -> None:
    signature = packed(column("known"), column("other"))
    known = {"known": 1, "other": 2}
    requests: dict[str, tuple[Codec, object]] = {
        "body": (
            native(signature),
            {**({"instances": [known]} if name != "instances" else {}), f"{name}?": 1},
        ),
        "row": (native(signature), {"instances": [{**known, name: 1}]}),
        "features": (simple(signature), {"features": {**known, name: 1}}),
        "columns": (native(signature), {"inputs": {**{key: [1] for key in known}, name: [1]}}),
    }
    codec, body = requests[where]
    with pytest.raises(InvalidInputError, match="is not known"):
        decode(codec, body)


def test_integers_are_named_as_categories_too() -> None:
    signature = packed(column("a", "int64", categories=(1, 2)), enforce=("categories",))
    assert refused(native(signature), instances(3)) == ("$.instances[0]", "expected one of 1, 2, got 3")


@pytest.mark.parametrize(
    ("codec", "body", "place", "message"),
    [
        (native(nested((None, 2))), instances([1, 2], [3]), "$.instances[1]", "expected 2 values, got 1"),
        (
            native(nested((None, 2, 2))),
            instances([[1, 2], [3]]),
            "$.instances[0][1]",
            "expected 2 values, got 1",
        ),
        (native(nested((None, 2))), instances([1, [2]]), "$.instances[0][1]", "expected float, got [2]"),
        (native(nested((None, 2))), {"inputs": [[1]]}, "$.inputs[0]", "expected 2 values, got 1"),
        (native(nested((None, 2))), {"inputs": []}, "$.inputs", "expected 1 or more rows, got 0"),
        (native(nested((None, 2))), {"inputs": {"p": []}}, "$.inputs.p", "expected 1 or more rows, got 0"),
        (native(nested((None, 2))), {"inputs": {"x": []}}, "$.inputs", "'x' is not known: expected 'p'"),
        (native(nested((2,), ())), {"inputs": {"p": [1], "q": 1}}, "$.inputs.p", "expected 2 values, got 1"),
        (native(nested((None,), (None,))), instances([1]), "$.instances[0]", "expected 2 values, got 1"),
        (
            native(nested((None,), (None,))),
            instances({"p": 1}),
            "$.instances[0]",
            "'q' is missing: expected 'p', 'q', got 'p'",
        ),
        (
            simple(nested((None, 2), (None,))),
            {"features": {"p": [1], "q": 1}},
            "$.features.p",
            "expected 2 values, got 1",
        ),
        (
            simple(nested((None, 2), (None,))),
            {"features": [[1, 2], "x"]},
            "$.features[1]",
            'expected float, got "x"',
        ),
        (simple(nested((None, 2))), {"features": [1, 2, 3]}, "$.features", "expected 2 values, got 3"),
        (
            simple(nested((None, None))),
            {"features": [1, None]},
            "$.features[1]",
            "expected float, got null; this value may not be missing",
        ),
    ],
    ids=[
        "row",
        "list in a row",
        "too deep",
        "tensor",
        "empty tensor",
        "empty named tensor",
        "unknown input",
        "tensor of fixed length",
        "list of inputs",
        "record of inputs",
        "input of one row",
        "value of one row",
        "one row",
        "null",
    ],
)
def test_bad_nested_lists_are_refused(codec: Codec, body: object, place: str, message: str) -> None:
    assert refused(codec, body) == (place, message)


def test_a_row_beyond_the_features_of_one_column_says_so() -> None:
    assert refused(simple(separate(column("features"))), {"features": {"features": []}}) == (
        "$.features.features",
        "expected float, got []",
    )
    assert refused(native(packed(column("features"))), {"inputs": {"features": []}}) == (
        "$.inputs.features",
        "expected 1 or more rows, got 0",
    )


@pytest.mark.parametrize("digits", ["1e999", "-1e999", "9" * 400, "9" * 5000])
def test_a_number_that_no_float_holds_is_refused(digits: str) -> None:
    body = b'{"instances": [[1, %s]]}' % digits.encode()
    assert refused(native(TWO), body) == (
        "$.instances[0][1]",
        "expected a number that a 64-bit float can hold",
    )


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    codec = native(packed(column("a", "uint64"), column("b", "uint64"), dtype="uint64"))
    body = b'{"instances": [[1, %s]]}' % (b"9" * 5000)
    assert refused(codec, body) == ("$.instances[0][1]", "expected an integer of fewer digits")


@pytest.mark.parametrize(("digits", "limit"), [("1e39", "3.4028235e+38"), ("-3.5e38", "-3.4028235e+38")])
def test_a_number_beyond_its_type_is_refused_with_the_limit(digits: str, limit: str) -> None:
    place, message = refused(native(TWO), b'{"instances": [[1, %s]]}' % digits.encode())
    assert place == "$.instances[0][1]"
    assert message.startswith(f"expected float {'<=' if limit[0] != '-' else '>='} {limit}, got ")


@pytest.mark.parametrize(
    "body",
    [
        instances(["x" * 10**6, 1]),
        instances([[1] * 10**5, 1]),
        instances({"x" * 10**6: 1}),
        {"x" * 10**6: 1},
        {"inputs": {"x" * 10**6: [1]}},
        instances({"age": 1, **{f"{at:0100}": 1 for at in range(100)}}),
        instances({f"income{at}": 1 for at in range(10**4)}),
        [1] * 10**5,
    ],
    ids=["string", "list", "key of a row", "key of the body", "key of a column", "long keys", "keys", "body"],
)
def test_what_is_huge_is_shown_shortened(body: object) -> None:
    assert len(refused(native(TWO), body)[1]) < 1000


def test_a_huge_category_is_shown_shortened() -> None:
    assert refused(native(CHOICE), instances("w" * 10**6)) == (
        "$.instances[0]",
        f"expected one of 'u', 'v', got '{'w' * 59}…",
    )


def test_many_columns_are_named_up_to_a_dozen() -> None:
    signature = packed(*(column(f"x{at}") for at in range(30)))
    _, message = refused(native(signature), instances([1]))
    assert "'x11' and 18 more" in message
    assert "'x12'" not in message
    assert "'x11' and 18 more" in refused(native(signature), instances({"x0": 1}))[1]


def test_a_value_before_a_cut_is_refused_though_the_rest_cannot_be_read() -> None:
    assert refused(native(CHOICE), b'{"instances": ["w", ') == (
        "$.instances[0]",
        "expected one of 'u', 'v', got 'w'",
    )
    assert refused(native(MIXED), b'{"instances": [{"age": "x"') == (
        "$.instances[0].age",
        "expected int, got str",
    )
    assert refused(native(MIXED), b'{"instances": [{"age": 5') == ("$.instances[0].age", "expected int >= 18")
    assert refused(native(TWO), b'{"instances": [[1, 2, 3], ') == (
        "$.instances[0]",
        "expected 2 values ('age', 'income')",
    )
    assert refused(native(TWO), b'{"instances": [{"x": ')[1].startswith("'x' is not known")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is empty; send a JSON object"),
        (b" \r\n\t", "the body is empty; send a JSON object"),
        (b"{", "the JSON is cut short"),
        (b'{"instances": [[1, 2]', "the JSON is cut short"),
        (rb'{"\ud83d', "the JSON is cut short"),
        (b'{"\\ud83d\\', "the JSON is cut short"),
        (rb'{"\ud83d\ude', "the JSON is cut short"),
        (rb'{"\ud83d": 1}', r"\ud83d at byte 2 is half a surrogate pair; send both halves, or none"),
        (b'{"instances": [[1, 2]]} x', "the JSON is malformed: trailing characters"),
        (b'{"instances": [[1, 2]]}{}', "the JSON is malformed: trailing characters"),
        (b'{"instances": [[1, 2],]}', "the JSON is malformed: trailing comma in array (byte 22)"),
        (b'{"instances": [[1 2]]}', "the JSON is malformed: expected ',' or ']' (byte 18)"),
        (b"{'instances': []}", "(byte 1)"),
        (b"hello", "(byte 0)"),
        (b"\xff\xfe{\x00", "(byte 0)"),
        (b"\xef\xbb\xbf{}", "(byte 0)"),
        (b'{"instances": [[01, 2]]}', "(byte 17)"),
        (b'{"instances": [[NaN, 1]]}', "NaN at byte 16 is not JSON; send null for a missing value"),
        (b'{"instances": [[1,Infinity]]}', "Infinity at byte 18 is not JSON"),
        (b'{"instances": [[1,-Infinity]]}', "-Infinity at byte 18 is not JSON"),
        (b'{"instances": [{"age": -NaN}]}', "-NaN at byte 23 is not JSON"),
        (b'{"instances": [[nan, 1]]}', "nan at byte 16 is not JSON"),
        (b'{"instances": [[1, -nan]]}', "-nan at byte 19 is not JSON"),
        (b'{"instances": [[inf, 1]]}', "inf at byte 16 is not JSON"),
        (b"NaN", "NaN at byte 0 is not JSON"),
        (b'{"instances": [[nano, 1]]}', "invalid character"),
    ],
    ids=repr,
)
def test_what_is_no_json_is_refused_with_its_place(body: bytes, says: str) -> None:
    assert says in malformed(native(TWO), body)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'"\xff"', "the body is not UTF-8: invalid start byte"),
        (b'"\xe2\x82"', "the body is not UTF-8"),
        (b'"\xed\xa0\x80"', "the body is not UTF-8"),
        (rb'"\ud800"', r"\ud800 at byte 16 is half a surrogate pair"),
        (rb'"\ud800\ud800"', "surrogate"),
        (rb'"\udc00 and more"', "surrogate"),
        (rb'"\ud800 and more"', "malformed"),
        (rb'"\x00"', "malformed"),
        (b'"a\nb"', "malformed"),
    ],
    ids=repr,
)
def test_a_text_that_is_no_text_is_refused(text: bytes, says: str) -> None:
    assert says in malformed(
        native(packed(column("a", "string"), dtype="string")), b'{"instances": [%s]}' % text
    )


@pytest.mark.parametrize(
    "codec",
    [native(TWO), native(nested((None, None))), simple(TWO), simple_batch(TWO)],
    ids=["native", "nested", "simple", "batch"],
)
@pytest.mark.parametrize("bracket", [b"[", b'{"a":'], ids=["brackets", "braces"])
@pytest.mark.parametrize(
    "before",
    [
        b"",
        b'{"x": ',
        b'{"instances": ',
        b'{"instances": [',
        b'{"instances": [{"age": ',
        b'{"inputs": {"age": [',
        b'{"features": ',
        b'{"signature_name": ',
        b'{"instances": [[1, 2]], "inputs": ',
    ],
    ids=repr,
)
def test_a_megabyte_of_brackets_is_refused(codec: Codec, before: bytes, bracket: bytes) -> None:
    with pytest.raises((InvalidInputError, MalformedError)) as error:
        codec.decode(before + bracket * (10**6 // len(bracket)), record())
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("before", [b'{"x": ', b'{"instances": [[1, ', b'{"instances": [{"age": '], ids=repr)
def test_brackets_around_the_depth_that_python_bears_are_refused(before: bytes) -> None:
    codec = native(TWO)
    closing = {b'{"x"': b"}", b'{"in': b"]]}" if before.endswith(b"[[1, ") else b"}]}"}[before[:4]]
    for depth in range(1, 1200, 3):
        with pytest.raises(InvalidInputError):
            codec.decode(before + b"[" * depth + b"]" * depth + closing, record())


def test_a_key_that_comes_twice_does_not_confuse() -> None:
    body = b'{"instances": [["x", 1]], "instances": [[1, 2]]}'
    assert refused(native(TWO), body)[0] == "$.instances[0][0]"
    assert decode(native(TWO), b'{"instances": [[1, 2]], "instances": [[3, 4]]}')["X"].tolist() == [[3, 4]]


def test_the_complaint_remembers_what_the_decoder_said() -> None:
    with pytest.raises(InvalidInputError) as error:
        native(TWO).decode(body_of(instances([1])), record())
    assert error.value.__cause__ is not None


class Loose(msgspec.Struct):
    """A request with a part of any form, as other protocols have."""

    parameters: Any = None
    at: dt.datetime | None = None


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b'{"parameters": ' + b"[" * 10**6, MalformedError, "the JSON is nested too deeply"),
        (b'{"at": "yesterday"}', InvalidInputError, "$.at: Invalid RFC3339 encoded datetime"),
    ],
    ids=["any depth", "any other type"],
)
def test_what_only_other_protocols_can_get_wrong_is_said_too(body: bytes, kind: type, message: str) -> None:
    with pytest.raises(DECODE_ERRORS) as error:
        msgspec.json.decode(body, type=Loose)
    said = complaint(error.value, body, Loose, TWO)
    assert type(said) is kind
    assert str(said) == message
