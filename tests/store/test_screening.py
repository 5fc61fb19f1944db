"""A model file is refused before a runtime sees it, wherever in it the trick is hidden."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from foretell.engine.session import Session
from foretell.errors import ScreeningError
from foretell.store import screening
from foretell.store.screening import ExternalData, confine, external_data, weight_bytes
from tests.models import classifier_bytes, graph_of, linear_model_bytes, model_bytes, value_info

FLOATS = np.array([5, 7], dtype=np.float32).tobytes()
IDENTITY = helper.make_node("Identity", ["X"], ["Y"])
X, Y = value_info("X", "float32", ("batch", 2)), value_info("Y", "float32", ("batch", 2))


def external_tensor(location: str | None = "w.bin", **entries: str) -> TensorProto:
    """Two floats that lie in another file."""
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in ({} if location is None else {"location": location} | entries).items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def add_model(tensor: TensorProto) -> bytes:
    """``Y = X + W``, with W as an initializer."""
    graph = graph_of([helper.make_node("Add", ["X", "W"], ["Y"])], [X], [Y])
    graph.initializer.append(tensor)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def refuse(folder: Path, model: bytes) -> str:
    """Screen a model that must be refused, and give the reason."""
    with pytest.raises(ScreeningError) as caught:
        confine(folder, external_data(model))
    return str(caught.value)


# ------------------------------------------------------------------ what is let through


@pytest.mark.parametrize(
    "model", [linear_model_bytes(), classifier_bytes(zipmap=True)], ids=["plain", "zipmap"]
)
def test_a_model_that_is_whole_refers_to_nothing(model: bytes) -> None:
    assert external_data(model) == []


def test_big_weights_are_skipped() -> None:
    weights = np.ones((5_000_000,), dtype=np.float32)
    model = model_bytes([IDENTITY], [X], [Y], {"W": weights})
    assert len(model) > 20_000_000
    assert external_data(model) == []


@pytest.mark.parametrize(
    ("entries", "size", "wanted"),
    [
        ({}, 8, ExternalData("w.bin")),
        ({"offset": "0", "length": "8"}, 8, ExternalData("w.bin", 0, 8)),
        ({"offset": "4096", "length": "8"}, 5000, ExternalData("w.bin", 4096, 8)),
        ({"length": "8", "checksum": "abc"}, 8, ExternalData("w.bin", 0, 8)),
    ],
    ids=["whole file", "explicit", "with an offset", "with a checksum"],
)
def test_external_data_inside_the_folder_is_let_through_and_runs(
    tmp_path: Path, entries: dict[str, str], size: int, wanted: ExternalData
) -> None:
    model = add_model(external_tensor(**entries))
    (tmp_path / "model.onnx").write_bytes(model)
    data = bytearray(size)
    data[wanted.offset : wanted.offset + 8] = FLOATS
    (tmp_path / "w.bin").write_bytes(data)

    assert external_data(model) == [wanted]
    assert confine(tmp_path, [wanted]) == {"w.bin"}
    answer = Session(tmp_path / "model.onnx").run({"X": np.zeros((1, 2), dtype=np.float32)})
    assert answer["Y"].tolist() == [[5, 7]]


def test_external_data_in_a_folder_inside_the_folder_is_let_through(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(FLOATS)
    assert confine(tmp_path, external_data(add_model(external_tensor("data/w.bin")))) == {"data/w.bin"}


# ------------------------------------------------------------------ where it may not lie

ESCAPES = {
    "absolute": "/etc/passwd",
    "absolute with two slashes": "//etc/passwd",
    "parent": "../w.bin",
    "parent in the middle": "data/../../w.bin",
    "parent at the end": "data/..",
    "folder itself": ".",
    "Windows drive": "C:\\w.bin",
    "Windows parent": "..\\w.bin",
    "network share": "\\\\host\\share",
    "in-memory address": "*/_ORT_MEM_ADDR_/*",
    "NUL": "w.bin\0.txt",
    "empty": "",
    "missing file": "absent.bin",
    "overlong": "w" * 300,
    "overlong path": "w/" * 3000,
    "URL": "https://example.org/w.bin",
}


@pytest.mark.parametrize("location", ESCAPES.values(), ids=ESCAPES)
def test_a_location_outside_of_the_folder_is_refused_and_quoted(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "1"
    (folder / "data").mkdir(parents=True)
    (tmp_path / "w.bin").write_bytes(FLOATS)
    assert repr(location) in refuse(folder, add_model(external_tensor(location)))


def test_a_location_that_is_not_said_is_refused(tmp_path: Path) -> None:
    assert "''" in refuse(tmp_path, add_model(external_tensor(None)))


@given(location=st.text(max_size=12) | st.text(st.sampled_from("./\\*w\0~"), max_size=12))
@example("w.bin")
@example("\N{COMBINING ACUTE ACCENT}")
def test_no_location_leads_out(tmp_path_factory: pytest.TempPathFactory, location: str) -> None:
    base = tmp_path_factory.getbasetemp()
    folder = base / "version"
    folder.mkdir(exist_ok=True)
    for place in (base, folder):
        (place / "w.bin").write_bytes(FLOATS)
        (place / "w").write_bytes(FLOATS)
    model = add_model(external_tensor(location.encode(errors="ignore").decode()))
    try:
        (name,) = confine(folder, external_data(model))
    except ScreeningError:
        return
    assert (folder / name).resolve().is_relative_to(folder.resolve())


def symlink_to_file(outside: Path, folder: Path) -> None:
    (folder / "w.bin").symlink_to(outside / "w.bin")


def symlink_inside(outside: Path, folder: Path) -> None:
    (folder / "real.bin").write_bytes(FLOATS)
    (folder / "w.bin").symlink_to("real.bin")


def dangling_link(outside: Path, folder: Path) -> None:
    (folder / "w.bin").symlink_to(outside / "absent")


def link_to_itself(outside: Path, folder: Path) -> None:
    (folder / "w.bin").symlink_to(folder / "w.bin")


def hard_link(outside: Path, folder: Path) -> None:
    os.link(outside / "w.bin", folder / "w.bin")


@pytest.mark.parametrize(
    "make",
    [symlink_to_file, symlink_inside, dangling_link, link_to_itself, hard_link],
    ids=lambda make: make.__name__,
)
def test_a_link_is_refused(tmp_path: Path, make: Callable[[Path, Path], None]) -> None:
    (tmp_path / "w.bin").write_bytes(FLOATS)
    folder = tmp_path / "1"
    folder.mkdir()
    make(tmp_path, folder)
    assert "link" in refuse(folder, add_model(external_tensor()))


def test_a_linked_folder_on_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "w.bin").write_bytes(FLOATS)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "data").symlink_to(tmp_path / "outside")
    assert "link" in refuse(tmp_path / "1", add_model(external_tensor("data/w.bin")))


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [Path.mkdir, make_pipe], ids=["folder", "pipe"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "w.bin")
    assert "not a file" in refuse(tmp_path, add_model(external_tensor()))


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "9"},
        {"length": "9"},
        {"offset": "4", "length": "5"},
        {"offset": "9" * 18},
        {"length": "9" * 18},
    ],
    ids=str,
)
def test_a_file_that_is_too_short_is_refused(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "w.bin").write_bytes(FLOATS)
    assert "that file has 8 bytes" in refuse(tmp_path, add_model(external_tensor(**entries)))


@pytest.mark.parametrize("key", ["offset", "length"])
@pytest.mark.parametrize(
    "text", ["", "-1", "+1", " 1", "1.5", "1e3", "0x10", "\u0661", "9" * 19, "nan", "1_0"], ids=repr
)
def test_an_odd_number_is_refused_and_quoted(tmp_path: Path, key: str, text: str) -> None:
    (tmp_path / "w.bin").write_bytes(FLOATS)
    model = add_model(external_tensor(**{key: text}))
    assert f"{text!r} as an offset or length" in refuse(tmp_path, model)


# ------------------------------------------------------------------ wherever a tensor can stand

SNEAKY = external_tensor("/etc/passwd")


def graph_with_initializer() -> onnx.GraphProto:
    graph = graph_of([IDENTITY], [X], [Y])
    graph.initializer.append(SNEAKY)
    return graph


def graph_with_attribute(**attribute: Any) -> onnx.GraphProto:
    node = helper.make_node("Constant", [], ["C"])
    node.attribute.append(onnx.AttributeProto(name="value", **attribute))
    return graph_of([node, IDENTITY], [X], [Y])


def model_of(graph: onnx.GraphProto, **more: Any) -> onnx.ModelProto:
    return helper.make_model(graph, **more)


def nested(levels: int) -> onnx.GraphProto:
    """Graphs in attributes of nodes of graphs …, with the tensor in the innermost."""
    graph = graph_with_initializer()
    for _ in range(levels):
        graph = graph_with_attribute(type=onnx.AttributeProto.GRAPH, g=graph)
    return graph


def in_training_info(graph: onnx.GraphProto, field: str) -> onnx.ModelProto:
    model = model_of(graph_of([IDENTITY], [X], [Y]))
    getattr(model.training_info.add(), field).CopyFrom(graph)
    return model


def in_function(*, default: bool) -> onnx.ModelProto:
    attribute = onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=SNEAKY)
    node = helper.make_node("Constant", [], ["C"])
    function = onnx.FunctionProto(name="f", domain="d")
    if default:
        function.attribute_proto.append(attribute)
    else:
        node.attribute.append(attribute)
        function.node.append(node)
    return model_of(graph_of([IDENTITY], [X], [Y]), functions=[function])


def in_sparse_initializer(field: str) -> onnx.ModelProto:
    graph = graph_of([IDENTITY], [X], [Y])
    getattr(graph.sparse_initializer.add(), field).CopyFrom(SNEAKY)
    return model_of(graph)


def sparse(field: str) -> onnx.SparseTensorProto:
    tensor = onnx.SparseTensorProto()
    getattr(tensor, field).CopyFrom(SNEAKY)
    return tensor


def in_branch(operator: str, attribute: str) -> onnx.ModelProto:
    node = helper.make_node(operator, ["condition"], ["Z"])
    node.attribute.append(helper.make_attribute(attribute, graph_with_initializer()))
    return model_of(graph_of([node, IDENTITY], [X], [Y]))


PLACES: dict[str, onnx.ModelProto] = {
    "initializer": model_of(graph_with_initializer()),
    "sparse initializer, values": in_sparse_initializer("values"),
    "sparse initializer, indices": in_sparse_initializer("indices"),
    "attribute t": model_of(graph_with_attribute(t=SNEAKY)),
    "attribute tensors": model_of(graph_with_attribute(tensors=[SNEAKY])),
    "attribute g": model_of(graph_with_attribute(g=graph_with_initializer())),
    "attribute graphs": model_of(graph_with_attribute(graphs=[graph_with_initializer()])),
    "attribute sparse_tensor": model_of(graph_with_attribute(sparse_tensor=sparse("values"))),
    "attribute sparse_tensors": model_of(graph_with_attribute(sparse_tensors=[sparse("indices")])),
    "branch of If": in_branch("If", "then_branch"),
    "other branch of If": in_branch("If", "else_branch"),
    "body of Loop": in_branch("Loop", "body"),
    "body of Scan": in_branch("Scan", "body"),
    "graph in graph in graph": model_of(nested(20)),
    "function's node": in_function(default=False),
    "function's default": in_function(default=True),
    "training, initialization": in_training_info(graph_with_initializer(), "initialization"),
    "training, algorithm": in_training_info(graph_with_attribute(t=SNEAKY), "algorithm"),
}


@pytest.mark.parametrize("model", PLACES.values(), ids=PLACES)
def test_external_data_is_found_in_every_place(tmp_path: Path, model: onnx.ModelProto) -> None:
    raw = model.SerializeToString()
    assert external_data(raw) == [ExternalData("/etc/passwd")]
    assert "'/etc/passwd'" in refuse(tmp_path, raw)


def test_every_way_to_a_tensor_in_the_format_is_followed() -> None:
    """The table of fields is what ONNX's own description of its messages says."""
    messages: dict[str, Any] = {}
    pending: list[Any] = [onnx.ModelProto.DESCRIPTOR]
    while pending:
        descriptor = pending.pop()
        if descriptor.name not in messages:
            messages[descriptor.name] = descriptor
            pending += [field.message_type for field in descriptor.fields if field.message_type is not None]
    leading = {"TensorProto"}
    while True:
        more = {
            name
            for name, descriptor in messages.items()
            if any(
                field.message_type is not None and field.message_type.name in leading
                for field in descriptor.fields
            )
        }
        if more <= leading:
            break
        leading |= more
    wanted = {
        name: {
            field.number: field.message_type.name
            for field in messages[name].fields
            if field.message_type is not None and field.message_type.name in leading
        }
        for name in leading - {"TensorProto"}
    }
    assert wanted == screening._MESSAGES


# ------------------------------------------------------------------ tricks of the encoding


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def field(number: int, content: bytes, *, key_bits: int = 0) -> bytes:
    """One length-delimited field; `key_bits` are set in its key beyond the field number."""
    return varint(number << 3 | 2 | key_bits) + varint(len(content)) + content


def without_graph(model: bytes) -> tuple[bytes, bytes]:
    """A model file without its graph, and the graph."""
    whole = onnx.load_model_from_string(model)
    graph = whole.graph.SerializeToString()
    whole.ClearField("graph")
    return whole.SerializeToString(), graph


def test_a_graph_in_several_pieces_is_read_in_all_of_them() -> None:
    rest, graph = without_graph(add_model(SNEAKY))
    assert external_data(field(7, b"") + rest + field(7, graph) + field(7, b"")) == [
        ExternalData("/etc/passwd")
    ]


def test_a_field_number_that_a_runtime_would_cut_short_hides_nothing(tmp_path: Path) -> None:
    """C++ protobuf keeps 32 bits of a key: there, field 2**29 + 7 of a model is its graph."""
    rest, graph = without_graph(add_model(external_tensor()))
    model = rest + field(7, graph, key_bits=1 << 32)
    (tmp_path / "w.bin").write_bytes(FLOATS)
    (tmp_path / "model.onnx").write_bytes(model)
    assert "overlong field number" in refuse(tmp_path, model)


def test_the_last_word_on_where_data_lies_hides_no_other() -> None:
    tensor = external_tensor("/etc/passwd")
    tensor.data_location = TensorProto.DEFAULT
    assert external_data(add_model(tensor)) == [ExternalData("/etc/passwd")]


def test_a_location_that_is_given_twice_is_refused_if_the_last_is_empty(tmp_path: Path) -> None:
    """ONNX Runtime skips empty values, and would take the first."""
    tensor = external_tensor("/etc/passwd")
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value=""))
    assert "''" in refuse(tmp_path, add_model(tensor))


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    model = add_model(external_tensor("PLACE")).replace(b"PLACE", b"\xff\xfe/wx")
    assert "not UTF-8" in refuse(tmp_path, model)


MALFORMED = {
    "not ONNX at all": b"PK\x03\x04 a zip file",
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "a group": b"\x0b\x0c",
    "a key without a value": b"\x08",
    "a key without a length": b"\x3a",
    "a length without bytes": b"\x3a\x05",
    "fewer bytes than announced": b"\x3a\x05ab",
    "a fixed field cut short": b"\x0d\x00",
    "a long fixed field cut short": b"\x09\x00\x00",
    "an endless number": b"\x08" + b"\xff" * 11,
    "an endless key": b"\xff" * 20,
    "a huge length": b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_model_is_refused(raw: bytes) -> None:
    with pytest.raises(ScreeningError, match="not an ONNX model"):
        external_data(raw)


def test_fields_of_every_wire_type_are_passed_over() -> None:
    assert external_data(b"\x08\x01" + b"\x0d" + bytes(4) + b"\x09" + bytes(8) + b"\x12\x01a") == []


def test_nesting_is_followed_to_a_limit() -> None:
    deep = b""
    for _ in range(300):  # a graph in an attribute of a node
        deep = field(1, field(5, field(6, deep)))
    with pytest.raises(ScreeningError, match="nested more than 200"):
        external_data(field(7, deep))


def test_nesting_of_fifty_thousand_levels_ends() -> None:
    headers: list[bytes] = []
    size = 0
    for level in range(50_001):  # from the innermost attribute outwards
        headers.append(varint((6, 5, 1)[level % 3] << 3 | 2) + varint(size))
        size += len(headers[-1])
    deep = b"".join(reversed(headers))
    with pytest.raises(ScreeningError, match="nested"):
        external_data(field(7, deep))


@given(cut=st.integers(min_value=0))
def test_a_truncated_model_raises_nothing_else(cut: int) -> None:
    raw = PLACES["attribute graphs"].SerializeToString()
    with suppress(ScreeningError):
        external_data(raw[: cut % len(raw)])


@given(raw=st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(raw: bytes) -> None:
    with suppress(ScreeningError):
        external_data(raw)


@given(data=st.data(), place=st.sampled_from(sorted(PLACES)))
def test_a_damaged_model_raises_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, place: str
) -> None:
    raw = bytearray(PLACES[place].SerializeToString())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ScreeningError):
        confine(tmp_path_factory.getbasetemp(), external_data(bytes(raw)))


def test_a_file_of_zeros_is_refused_at_its_first_byte() -> None:
    with pytest.raises(ScreeningError, match="a field of number 0"):
        external_data(bytes(100_000_000))


def test_more_fields_than_are_worth_walking_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "_MAX_FIELDS", 100)
    with pytest.raises(ScreeningError, match="more than 100 fields"):
        external_data(field(1, b"") * 101)
    assert external_data(field(1, b"") * 100) == []


def test_numbers_are_skipped_however_many_and_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "_MAX_FIELDS", 100)
    monkeypatch.setattr(screening, "_AT_ONCE", 1000)
    numbers = b"\x08\x87\x01" + b"\x3d\x3a\x02\x3a\x02" + b"\x11" + b"\x3a" * 8
    assert external_data(numbers * 10_000 + add_model(SNEAKY) + numbers) == [ExternalData("/etc/passwd")]


def test_no_field_that_leads_to_a_tensor_is_skipped() -> None:
    for fields in screening._MESSAGES.values():
        for number in fields:
            assert screening._NUMBERS.match(field(number, b"\x0aBRANCH_LEQ")) is None
            assert screening._NUMBERS.match(field(number, b"\x04LEAF")) is None


@pytest.mark.parametrize("blobs", ["Op+1|0;8;0", "Op+1|64;8;0|128;8;0", "Op+1|x;8;0", "Op+1|99999999999;8;0"])
def test_what_a_runtime_has_laid_out_for_itself_is_refused(tmp_path: Path, blobs: str) -> None:
    folder = tmp_path / "1"
    folder.mkdir()
    (folder / "w.bin").write_bytes(b"\0" * 256)
    assert refuse(folder, add_model(external_tensor(length="8", prepacked_0=blobs)))
    confine(folder, external_data(add_model(external_tensor(length="8"))))


def test_the_weights_of_a_graph_are_counted() -> None:
    tensor = numpy_helper.from_array(np.zeros(1000, dtype=np.float32), "W")
    assert 4000 <= weight_bytes(add_model(tensor)) < 4050
    assert weight_bytes(add_model(external_tensor())) < 50
