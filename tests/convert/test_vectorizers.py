"""Texts are split, lower-cased and counted as scikit-learn does it, whatever characters they hold."""

# ruff: noqa: RUF001 - what looks alike is what this is about
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from foretell.convert import convert
from foretell.convert.frame import Frame
from foretell.convert.text_probes import text_rows
from foretell.errors import ConversionError, InvalidInputError

from .served_answers import answers

TEXTS = ["good film", "bad film", "great acting", "awful plot", "I hated it a lot", "it's not well-made"] * 5

VECTORIZERS: dict[str, Any] = {
    "default": TfidfVectorizer(),
    "bigrams": TfidfVectorizer(ngram_range=(1, 2)),
    "stop-words": TfidfVectorizer(stop_words="english", ngram_range=(1, 3)),
    "characters": CountVectorizer(analyzer="char", ngram_range=(1, 3)),
    "characters-of-words": TfidfVectorizer(
        analyzer="char_wb", ngram_range=(4, 6), norm="l1", sublinear_tf=True
    ),
    "not-space": TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2)),
    "ascii-words": CountVectorizer(token_pattern=r"\b[a-zA-Z]{3,}\b", ngram_range=(1, 2)),
    "binary": CountVectorizer(binary=True, lowercase=False),
}


@pytest.mark.parametrize("name", VECTORIZERS)
def test_made_up_texts_answer_as_before(name: str) -> None:
    estimator = VECTORIZERS[name].fit(TEXTS)
    conversion = convert(estimator, TEXTS, probes=100)
    assert conversion.agrees, conversion.parity
    refused = {"text": conversion.signature.columns[0].excluded}
    frame = Frame.of(TEXTS, estimator)
    rows = list(text_rows(frame, np.random.default_rng(1), 600, refused, frozenset()))
    rows += [(text,) for text in ("goodé film", "good’s film", "good'it film", "good\xa0film", "good  film")]
    expected = estimator.transform([row[0] for row in rows]).toarray()
    np.testing.assert_allclose(answers(conversion, rows)["transformed"], expected, atol=1e-5)


def test_the_dotted_capital_i_splits_words_as_in_python() -> None:
    estimator = TfidfVectorizer().fit(["fi lm", "film"])
    conversion = convert(estimator, ["fi lm", "film"], probes=20)
    texts = ["FİLM", "Fİ", "film"]
    given = answers(conversion, texts)["transformed"]
    np.testing.assert_allclose(given, estimator.transform(texts).toarray(), atol=1e-6)


def test_what_cannot_be_lower_cased_alike_is_refused_with_place_and_remedy() -> None:
    conversion = convert(TfidfVectorizer().fit(["σας κακος"]), ["σας κακος"], probes=20)
    with pytest.raises(InvalidInputError, match=r"\$\.instances\[1\].*'Σ'.*'ΣΑΣ'.*lower case"):
        answers(conversion, ["good", "ΣΑΣ"])


@pytest.mark.parametrize(
    ("estimator", "advice"),
    [
        (TfidfVectorizer(strip_accents="unicode"), "strip_accents=None"),
        (TfidfVectorizer(tokenizer=str.split, token_pattern=None), "tokenizer"),
        (TfidfVectorizer(token_pattern=r"a|\w+"), "without alternatives"),
        (TfidfVectorizer(token_pattern="[^,]+", ngram_range=(1, 2)), "leave spaces out"),
    ],
    ids=["accents", "tokenizer", "alternatives", "spaces"],
)
def test_what_has_no_onnx_form_is_refused_with_advice(estimator: Any, advice: str) -> None:
    with pytest.raises(ConversionError, match=advice):
        convert(estimator.fit(TEXTS), TEXTS, probes=10)


def test_a_sample_with_such_characters_is_refused_with_advice() -> None:
    texts = ["ΟΔΟΣ κακος", "σας"]
    with pytest.raises(ConversionError, match=r"str\.lower"):
        convert(TfidfVectorizer().fit(texts), texts, probes=10)
