"""Only JSON in UTF-8 is taken."""

from __future__ import annotations

import pytest

from foretell.errors import UnsupportedMediaError
from foretell.protocols.media import check_json


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
        check_json(content_type)
    assert len(str(refused.value)) < 300
