"""What makes two questions equal: the version that is asked, the outputs that are wanted, and every input's bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, PredictRequest

__all__ = ["Keys"]

_HASHED_BYTES: Final = 32
_DIGEST_BYTES: Final = 16
_SHORT_BYTES: Final = 512
"""Contents up to this length stand in the key as they are: that is exact, and cheaper than to hash them."""

_FORMS: Final = 256
"""How many forms of a question are remembered. A form is what its inputs are, but for their contents."""

_Form = tuple[object, ...]


class Keys:
    """Makes the keys of the questions to one version.

    A key holds what the inputs are and their contents, or 256 bits of BLAKE2b in place of long contents, so that
    nobody can make two questions with one key. The identity of a request, its headers and the way its inputs were
    written down do not count.

    Args:
        model: The version.
    """

    def __init__(self, model: ModelInfo) -> None:
        self._identity = msgspec.msgpack.encode((model.name, model.version, model.fingerprint))
        self._forms: dict[_Form, bytes] = {}

    def of(self, request: PredictRequest) -> bytes:
        """The key of a question among those to this version."""
        inputs = request.inputs
        # A data type counts with its byte order.
        form = (request.outputs, *[(name, array.dtype, array.shape) for name, array in inputs.items()])
        described = self._forms.get(form)
        if described is None:
            described = self._describe(form, request)
        contents = b"".join([_contents(array) for array in inputs.values()])
        if len(contents) > _SHORT_BYTES:
            return described + b"h" + hashlib.blake2b(contents, digest_size=_HASHED_BYTES).digest()
        return described + b"=" + contents

    def digest(self, key: bytes) -> bytes:
        """The key of a question among those to all versions, for a store that is shared: 16 bytes."""
        return hashlib.blake2b(self._identity + key, digest_size=_DIGEST_BYTES).digest()

    def _describe(self, form: _Form, request: PredictRequest) -> bytes:
        inputs = [(name, array.dtype.str, array.shape) for name, array in request.inputs.items()]
        described = msgspec.msgpack.encode((request.outputs, inputs))
        if len(self._forms) >= _FORMS:
            self._forms.clear()
        self._forms[form] = described
        return described


def _contents(array: Any) -> bytes:
    """The values of a tensor as bytes whose length the form or they themselves tell."""
    if array.dtype.hasobject:
        return msgspec.msgpack.encode(array.ravel().tolist())
    contents: bytes = array.tobytes()
    return contents
