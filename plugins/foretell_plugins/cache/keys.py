"""What makes two questions equal: the version that is asked, the outputs that are wanted, and every input's bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from foretell.plugin import ModelInfo, PredictRequest

__all__ = ["OWNER_BYTES", "Keys"]

OWNER_BYTES: Final = 8
"""How many bytes at the beginning of a key say whose it is."""

_HASHED_BYTES: Final = 32
_DIGEST_BYTES: Final = 16
_SHORT_BYTES: Final = 512
"""Contents up to this length stand in the key as they are: that is exact, and cheaper than to hash them."""

_LARGE_BYTES: Final = 1024**2
"""Tensors of more than this take longer to hash than an event loop may be held: about a millisecond."""

_TEXTS: Final = 10_000
"""How many texts are written down at a time: the interpreter does nothing else meanwhile."""

_FORMS: Final = 256
"""How many forms of a question are remembered. A form is what its inputs are, but for their contents."""

_LARGE: Final = b""
_Form = tuple[object, ...]
_encode: Final = msgspec.msgpack.Encoder().encode


class Keys:
    """Makes the keys of the questions to one version.

    A key holds its owner, what the inputs are and their contents, or 256 bits of BLAKE2b in place of long contents, so
    that nobody can make two questions with one key. The identity of a request, its headers and the way its inputs were
    written down do not count.

    Args:
        model: The version.
        owner: A number that no other keys bear.

    Attributes:
        owner: What the keys begin with.
    """

    def __init__(self, model: ModelInfo, owner: int = 0) -> None:
        self._identity = _encode((model.name, model.version, model.fingerprint))
        self.begin_anew(owner)

    def begin_anew(self, owner: int) -> None:
        """From now on no key is equal to an earlier one."""
        self.owner: bytes = owner.to_bytes(OWNER_BYTES)
        self._forms: dict[_Form, bytes] = {}
        # Those among them whose contents are numbers, and short.
        self._short: dict[_Form, bytes] = {}

    def of(self, request: PredictRequest) -> bytes | None:
        """The key of a question; None if that takes long, and `of_large` must make it."""
        inputs = request.inputs
        form: _Form = (request.outputs,)
        for name, array in inputs.items():
            # A data type counts with its byte order.
            form += (name, array.dtype, array.shape)
        key = self._short.get(form)
        if key is None:
            return self._of_others(form, request)
        for array in inputs.values():
            key += array.tobytes()
        return key

    def of_large(self, request: PredictRequest) -> bytes:
        """The key of a question whose tensors are large; to be called in a thread, and others go on meanwhile."""
        described = self._describe(request)
        hashed = hashlib.blake2b(digest_size=_HASHED_BYTES)
        for array in request.inputs.values():
            if array.dtype.hasobject:
                texts = array.ravel()
                for start in range(0, texts.size, _TEXTS):
                    hashed.update(_encode(texts[start : start + _TEXTS].tolist()))
            else:
                hashed.update(np.ascontiguousarray(array).data)
        return described[:-1] + b"h" + hashed.digest()

    def digest(self, key: bytes) -> bytes:
        """The key of a question among those to all versions, whoever owns it, for a store that is shared: 16 bytes."""
        return hashlib.blake2b(self._identity + key[OWNER_BYTES:], digest_size=_DIGEST_BYTES).digest()

    def _of_others(self, form: _Form, request: PredictRequest) -> bytes | None:
        """The key of a question that holds texts or is not short, or whose form was not met before; see `of`."""
        described = self._forms.get(form)
        if described is None:
            described = self._remember(form, request)
        if described is _LARGE:
            return None
        key = described
        for array in request.inputs.values():
            key += _encode(array.ravel().tolist()) if array.dtype.hasobject else array.tobytes()
        if len(key) <= len(described) + _SHORT_BYTES:
            return key
        contents = memoryview(key)[len(described) :]
        return described[:-1] + b"h" + hashlib.blake2b(contents, digest_size=_HASHED_BYTES).digest()

    def _remember(self, form: _Form, request: PredictRequest) -> bytes:
        if len(self._forms) >= _FORMS:
            self._forms.clear()
            self._short.clear()
        arrays = request.inputs.values()
        size_bytes = sum(array.nbytes for array in arrays)
        described = self._forms[form] = _LARGE if size_bytes > _LARGE_BYTES else self._describe(request)
        if size_bytes <= _SHORT_BYTES and not any(array.dtype.hasobject for array in arrays):
            self._short[form] = described
        return described

    def _describe(self, request: PredictRequest) -> bytes:
        inputs = [(name, array.dtype.str, array.shape) for name, array in request.inputs.items()]
        return self.owner + _encode((request.outputs, inputs)) + b"="
