"""What makes two questions equal: the version that is asked, the outputs that are wanted, and every input's bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, PredictRequest

__all__ = ["Keys"]

_BYTES: Final = 16
_FORMS: Final = 256
"""How many forms of a question are remembered. A form is what its inputs are, but for their contents."""

_Form = tuple[object, ...]


class Keys:
    """Makes the keys of one version: 128 bits of BLAKE2b, so that nobody can make two questions with one key.

    The identity of a request, its headers and the way its inputs were written down do not count.

    Args:
        model: The version.
    """

    def __init__(self, model: ModelInfo) -> None:
        self._identity = msgspec.msgpack.encode((model.name, model.version, model.fingerprint))
        self._begun: dict[_Form, hashlib.blake2b] = {}

    def of(self, request: PredictRequest) -> bytes:
        """The key of a question, 16 bytes."""
        inputs = request.inputs
        form = (request.outputs, *[(name, array.dtype.char, array.shape) for name, array in inputs.items()])
        begun = self._begun.get(form)
        if begun is None:
            begun = self._begin(form, request)
        key = begun.copy()
        for array in inputs.values():
            if array.dtype.hasobject:
                key.update(msgspec.msgpack.encode(array.ravel().tolist()))
            else:
                key.update(array.data if array.flags.c_contiguous else array.tobytes())
        return key.digest()

    def _begin(self, form: _Form, request: PredictRequest) -> hashlib.blake2b:
        described = [(name, array.dtype.str, array.shape) for name, array in request.inputs.items()]
        begun = hashlib.blake2b(self._identity, digest_size=_BYTES)
        begun.update(msgspec.msgpack.encode((request.outputs, described)))
        if len(self._begun) >= _FORMS:
            self._begun.clear()
        self._begun[form] = begun
        return begun
