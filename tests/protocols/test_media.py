"""Only JSON in UTF-8, as it is, is taken."""

from __future__ import annotations

import pytest

from foretell.errors import UnsupportedMediaError
from foretell.http.media import check_json


@pytest.mark.parametrize("coding", [None, b"", b"identity", b"Identity", b"identity, identity"])
def test_a_body_as_it_is_is_taken(coding: bytes | None) -> None:
    check_json(b"application/json", coding)


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, identity", b"identity, gzip", b"gzip," + b"x" * 10**5])
def test_any_other_coding_is_refused(coding: bytes) -> None:
    with pytest.raises(UnsupportedMediaError, match="is not accepted; send the body as it is") as refused:
        check_json(b"application/json", coding)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json, text/xml",
        b"text/xml, application/json",
        b"text/" + b"x" * 10**5,
        b"a/b; charset=" + b"x" * 999,
    ],
    ids=["last", "first", "long", "long charset"],
)
def test_two_media_types_or_another_are_refused(content_type: bytes) -> None:
    with pytest.raises(UnsupportedMediaError) as refused:
        check_json(content_type, None)
    assert len(str(refused.value)) < 300
