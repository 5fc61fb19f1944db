"""Converters for scikit-learn's CountVectorizer, TfidfVectorizer and TfidfTransformer.

skl2onnx's own split at ASCII letters only, forget stop words, and take the logarithm of another number. Here a text is
split into words or characters, each becomes the number that the vocabulary has for it, and sequences of numbers are
counted.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from foretell.convert.alphabet import DOT_ABOVE, DOTTED_I, SIGMAS, category, lowered
from foretell.convert.nodes import GraphWriter, is_double
from foretell.convert.registry import Registry, elementwise_shape
from foretell.convert.token_patterns import Splitter, splitter_of
from foretell.errors import ConversionError
from foretell.tensors import Array

__all__ = ["refused_characters", "register"]

_MICROSOFT: Final = "com.microsoft"

_UNKNOWN: Final = 0
"""The number of everything that the vocabulary does not have; no counted sequence holds it."""

_DROPPED: Final = -1
"""The number of what the original takes out of the sequence."""

_SPACE: Final = 1
"""The number of a space; those of the other white space follow."""


def register(registry: Registry) -> None:
    """Add the converters of this module."""
    from sklearn.feature_extraction import text

    parse = partial(_parse, registry.floating)
    shape = partial(_shape, registry.floating)
    registry.add(text.CountVectorizer, _vectorizer, shape=shape, parser=parse)
    registry.add(text.TfidfVectorizer, _vectorizer, shape=shape, parser=parse)
    registry.add(text.TfidfTransformer, _transformer, shape=elementwise_shape)


def refused_characters(model: Any) -> str:
    """The characters that the ONNX form of a vectorizer would read differently, among those that matter to it.

    Lower-casing is where they come from: of ``İ`` come two characters, and of ``Σ`` one of two, by its neighbours.
    """
    if not model.lowercase:
        return ""
    known = set("".join(model.vocabulary_)) | set("".join(model.get_stop_words() or ()))
    refused = "" if known.isdisjoint(SIGMAS) else SIGMAS[0].upper()
    if model.analyzer == "word":
        splitter = splitter_of(model.token_pattern, lowercase=True)
        # A word with it is unknown to both where neither of its readings is in the vocabulary.
        if splitter.dotted_i and not known.isdisjoint({"i", DOT_ABOVE}):
            refused += DOTTED_I
    return refused


def _parse(floating: Any, scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    del custom_parsers  # part of skl2onnx's interface
    operator = scope.declare_local_operator(f"Foretell{type(model).__name__}", model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("variable", floating()))
    return operator.outputs


def _shape(floating: Any, operator: Any) -> None:
    operator.outputs[0].type = floating([None, _width(operator.raw_operator)])


def _width(model: Any) -> int:
    return int(max(model.vocabulary_.values())) + 1


def _vectorizer(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    _check(model)
    if len(operator.inputs) != 1:
        raise ConversionError(
            f"{type(model).__name__} reads one column of texts, but is given {len(operator.inputs)}: "
            "give each column a vectorizer of its own"
        )
    writer = GraphWriter(scope, container)
    texts = writer.add("Reshape", operator.inputs[0].full_name, writer.constant([-1], np.int64))
    counts = _words(writer, model, texts) if model.analyzer == "word" else _characters(writer, model, texts)
    if model.binary:
        counts = writer.add("Min", counts, writer.constant(1.0, np.float32))
    if hasattr(model, "idf_") or hasattr(model, "sublinear_tf"):
        dtype = np.dtype(np.float64 if is_double(operator.outputs[0]) else np.float32)
        writer.deliver(
            _weighted(writer, model, writer.cast(counts, dtype), dtype), operator.outputs[0], dtype
        )
    else:
        writer.deliver(counts, operator.outputs[0], np.float32)


def _check(model: Any) -> None:
    name = type(model).__name__
    for setting in ("preprocessor", "tokenizer"):
        if getattr(model, setting) is not None:
            raise ConversionError(
                f"{name}({setting}=…) is a function, which has no ONNX form: leave it at None and train again, or "
                "do what it does before the text is sent"
            )
    if model.strip_accents is not None:
        raise ConversionError(
            f"{name}(strip_accents={model.strip_accents!r}) has no ONNX form: use strip_accents=None and train "
            "again, or take the accents off before the text is sent"
        )
    if model.analyzer not in {"word", "char", "char_wb"}:
        raise ConversionError(
            f"{name}(analyzer=…) is a function, which has no ONNX form: use 'word', 'char' or 'char_wb' and train again"
        )


# ---------------------------------------------------------------- words


def _words(writer: GraphWriter, model: Any, texts: str) -> str:
    splitter = splitter_of(model.token_pattern, lowercase=model.lowercase)
    least, most = model.ngram_range
    if most > 1 and splitter.has_space:
        raise ConversionError(
            f"token_pattern={model.token_pattern!r} finds words with spaces in them, so that sequences of words "
            "(ngram_range) cannot be told from words: leave spaces out of the pattern and train again"
        )
    stop = frozenset(model.get_stop_words() or ())
    grams = {
        gram: parts
        for gram in model.vocabulary_
        if least <= len(parts := tuple(gram.split(" ")) if most > 1 else (gram,)) <= most
    }
    members = sorted({part for parts in grams.values() for part in parts} - stop)
    numbers = {word: number for number, word in enumerate(members, _SPACE)}
    found = _found(writer, texts, splitter, lowercase=model.lowercase)
    dropped = {"": _DROPPED} | dict.fromkeys(sorted(stop), _DROPPED)
    ids = _encoded(writer, found, dropped | numbers)
    if most > 1 and (stop or splitter.keep):
        ids = _closed(writer, ids)
    pool = {
        gram: tuple(numbers[part] for part in parts)
        for gram, parts in grams.items()
        if stop.isdisjoint(parts)
    }
    return _counted(writer, model, ids, pool)


def _found(writer: GraphWriter, texts: str, splitter: Splitter, *, lowercase: bool) -> str:
    """``string[rows, words]``: the words of each text, the rest empty."""
    pieces = _with_gap(writer, _split(writer, texts, splitter.expression))
    if splitter.keep is None and not lowercase:
        return pieces
    shape = writer.add("Shape", pieces)
    flat = writer.add("Reshape", pieces, writer.constant([-1], np.int64))
    if splitter.keep is not None:
        kept = _with_gap(writer, _split(writer, flat, splitter.keep))
        flat = writer.add("Gather", kept, writer.constant(0, np.int64), axis=1)
    if lowercase:
        flat = writer.add("StringNormalizer", flat, case_change_action="LOWER", is_case_sensitive=1)
    return writer.add("Reshape", flat, shape)


def _split(writer: GraphWriter, texts: str, expression: str) -> str:
    return writer.add(
        "Tokenizer",
        texts,
        domain=_MICROSOFT,
        tokenexp=expression,
        mark=0,
        mincharnum=1,
        pad_value="",
    )


def _with_gap(writer: GraphWriter, pieces: str) -> str:
    """With one more empty piece a row, so that there is one at least."""
    rows = writer.add("Shape", pieces, start=0, end=1)
    shape = writer.add("Concat", rows, writer.constant([1], np.int64), axis=0)
    return writer.add("Concat", pieces, writer.add("Expand", writer.constant([""], object), shape), axis=1)


def _encoded(writer: GraphWriter, strings: str, numbers: dict[str, int]) -> str:
    return writer.add_ml(
        "LabelEncoder",
        strings,
        version=2,
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=_UNKNOWN,
    )[0]


# ---------------------------------------------------------------- characters


def _characters(writer: GraphWriter, model: Any, texts: str) -> str:
    members = sorted(set("".join(model.vocabulary_)))
    spaces = [chr(point) for point in np.flatnonzero(category(r"\s", ascii_only=False))]
    spaces.sort(key=lambda space: space != " ")
    ordered = [*spaces, *(member for member in members if member not in spaces)]
    numbers = {member: number for number, member in enumerate(ordered, _SPACE)}
    keys = {"": _DROPPED} | numbers
    if model.lowercase:
        lower: Array = lowered()
        keys = {"": _DROPPED} | {
            chr(point): numbers[chr(low)]
            for low in map(ord, numbers)
            for point in np.flatnonzero(lower == low).tolist()
        }
        keys[DOTTED_I] = numbers.get("i", _UNKNOWN)
    single = _with_gap(writer, _split(writer, texts, "(?s)."))
    ids = _encoded(writer, single, keys)
    second = None
    if model.lowercase:
        dot = numbers.get(DOT_ABOVE, _UNKNOWN)
        second = writer.add_ml(
            "LabelEncoder",
            single,
            version=2,
            keys_strings=[DOTTED_I],
            values_int64s=[dot],
            default_int64=_DROPPED,
        )[0]
    arrange = _spaced if model.analyzer == "char" else _padded_words
    ids = _closed(writer, arrange(writer, ids, second, len(spaces)))
    least, most = model.ngram_range
    pool = {
        gram: tuple(numbers[member] for member in gram)
        for gram in model.vocabulary_
        if least <= len(gram) <= most
        # A word that is shorter than the shortest sequence counts as a whole.
        or (model.analyzer == "char_wb" and 3 <= len(gram) < least and gram[0] == gram[-1] == " ")
    }
    return _counted(writer, model, ids, pool)


def _spaced(writer: GraphWriter, ids: str, second: str | None, spaces: int) -> str:
    """Runs of white space as one space; a single one stays as it is."""
    blank = _is_blank(writer, ids, spaces, and_end=False)
    before = writer.cast(_shifted(writer, blank, 1, 0), np.bool_)
    behind = writer.cast(_shifted(writer, blank, -1, 0), np.bool_)
    blank = writer.cast(blank, np.bool_)
    opens = writer.add("And", blank, behind)
    one = writer.add("Where", opens, writer.constant(_SPACE, np.int64), ids)
    dropped = writer.constant(_DROPPED, np.int64)
    one = writer.add("Where", writer.add("And", blank, before), dropped, one)
    return one if second is None else _interleaved(writer, [one, second])


def _padded_words(writer: GraphWriter, ids: str, second: str | None, spaces: int) -> str:
    """Each word between two spaces, and something unknown behind it, which no sequence spans."""
    blank = _is_blank(writer, ids, spaces, and_end=True)
    before = writer.cast(_shifted(writer, blank, 1, 1), np.bool_)
    behind = writer.cast(_shifted(writer, blank, -1, 1), np.bool_)
    blank = writer.cast(blank, np.bool_)
    word = writer.add("Not", blank)
    first, last = writer.add("And", word, before), writer.add("And", word, behind)
    dropped, space = writer.constant(_DROPPED, np.int64), writer.constant(_SPACE, np.int64)
    unknown = writer.constant(_UNKNOWN, np.int64)
    parts = [
        writer.add("Where", first, space, dropped),
        writer.add("Where", blank, dropped, ids),
        *([] if second is None else [second]),
        writer.add("Where", last, space, dropped),
        writer.add("Where", last, unknown, dropped),
    ]
    return _interleaved(writer, parts)


def _is_blank(writer: GraphWriter, ids: str, spaces: int, *, and_end: bool) -> str:
    """``int64[rows, characters]``: 1 for white space, and for the end of a text where that counts as such."""
    above = writer.add("GreaterOrEqual", ids, writer.constant(_SPACE, np.int64))
    below = writer.add("Less", ids, writer.constant(_SPACE + spaces, np.int64))
    blank = writer.add("And", above, below)
    if and_end:
        blank = writer.add("Or", blank, writer.add("Equal", ids, writer.constant(_DROPPED, np.int64)))
    return writer.cast(blank, np.int64)


def _shifted(writer: GraphWriter, values: str, by: int, fill: int) -> str:
    pads = writer.constant([0, by, 0, -by], np.int64)
    return writer.add("Pad", values, pads, writer.constant(fill, np.int64))


def _interleaved(writer: GraphWriter, parts: list[str]) -> str:
    axis = writer.constant([2], np.int64)
    stacked = writer.add("Concat", *(writer.add("Unsqueeze", part, axis) for part in parts), axis=2)
    return writer.add("Reshape", stacked, writer.constant([0, -1], np.int64))


# ---------------------------------------------------------------- counting


def _closed(writer: GraphWriter, ids: str) -> str:
    """``int64[rows, …]`` with what is left moved together where something was dropped."""
    keep = writer.add("Not", writer.add("Equal", ids, writer.constant(_DROPPED, np.int64)))
    ends = writer.add("CumSum", writer.cast(keep, np.int64), writer.constant(1, np.int64))
    place = writer.add("Sub", ends, writer.constant(1, np.int64))
    width = writer.add("Shape", ids, start=1, end=2)
    target = writer.add("Where", keep, place, width)
    nothing = writer.add("Mul", ids, writer.constant(_UNKNOWN, np.int64))
    room = writer.add(
        "Pad", nothing, writer.constant([0, 0, 0, 1], np.int64), writer.constant(_UNKNOWN, np.int64)
    )
    return writer.add("ScatterElements", room, target, ids, axis=1)


def _counted(writer: GraphWriter, model: Any, ids: str, pool: dict[str, tuple[int, ...]]) -> str:
    """``float32[rows, vocabulary]``: how often each sequence occurs."""
    never = len(model.vocabulary_) + 10**6  # the number of what no text gives, so that every column exists
    sequences = [(pool.get(gram, (never,)), int(index)) for gram, index in model.vocabulary_.items()]
    sequences.sort(key=lambda entry: (len(entry[0]), entry[1]))
    # A sequence may stand there once only.
    seen: dict[tuple[int, ...], int] = {}
    for sequence, index in sequences:
        unique = sequence if sequence[0] != never else (never + index,)
        seen[unique] = index
    longest = max(map(len, seen))
    counts = [
        sum(len(sequence) for sequence in seen if len(sequence) < size) for size in range(1, longest + 1)
    ]
    return writer.add(
        "TfIdfVectorizer",
        ids,
        mode="TF",
        min_gram_length=1,
        max_gram_length=longest,
        max_skip_count=0,
        ngram_counts=counts,
        ngram_indexes=list(seen.values()),
        pool_int64s=[number for sequence in seen for number in sequence],
    )


def _transformer(scope: Any, operator: Any, container: Any) -> None:
    writer = GraphWriter(scope, container)
    variable = operator.inputs[0]
    dtype = np.dtype(np.float64 if is_double(variable) else np.float32)
    weighted = _weighted(writer, operator.raw_operator, writer.cast(variable.full_name, dtype), dtype)
    writer.deliver(weighted, operator.outputs[0], dtype)


def _weighted(writer: GraphWriter, model: Any, counts: str, dtype: np.dtype[Any]) -> str:
    """Counts as term frequencies times inverse document frequencies, normalized."""
    values = counts
    nothing, one = writer.constant(0.0, dtype), writer.constant(1.0, dtype)
    if model.sublinear_tf:
        present = writer.add("Not", writer.add("Equal", values, nothing))
        logarithm = writer.add("Add", writer.add("Log", writer.add("Where", present, values, one)), one)
        values = writer.add("Where", present, logarithm, nothing)
    if model.use_idf:
        values = writer.add("Mul", values, writer.constant(np.asarray(model.idf_)[None, :], dtype))
    if model.norm is None:
        return values
    axis = writer.constant([1], np.int64)
    if model.norm == "l1":
        length = writer.add("ReduceSum", writer.add("Abs", values), axis, keepdims=1)
    else:
        squares = writer.add("ReduceSum", writer.add("Mul", values, values), axis, keepdims=1)
        length = writer.add("Sqrt", squares)
    empty = writer.add("Equal", length, nothing)
    return writer.add("Div", values, writer.add("Where", empty, one, length))
