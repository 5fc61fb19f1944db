"""What can go wrong, as a tree of exceptions that know nothing of HTTP.

ForetellError
├── SettingsError            a setting is misspelt, ill-typed or contradicts another
├── ListenError              the server cannot listen where it is told to
├── MissingExtraError        an optional dependency is not installed
├── StoreError               the model store, or a version in it, cannot be used
│   ├── InvalidNameError     a model, version, alias, column or input has a name that is not allowed
│   ├── ManifestError        manifest.json or model.toml does not say what it must
│   ├── IntegrityError       a file is absent, or is not the one that was published
│   ├── ScreeningError       a model file asks for what it may not have
│   └── LoadTimeoutError     a version takes too long to load
├── PublishError             an estimator cannot become a served model
│   ├── ArgumentError        `publish` was called with what it does not take
│   ├── ConversionError      there is no ONNX form of it
│   └── ParityError          its ONNX form answers differently
├── NotFoundError            no such model, version, alias or route
├── ConflictError            there is one already
├── NotReadyError            it exists, but does not serve
│   ├── QueueFullError       too much waits for it
│   ├── StillLoadingError    not yet: it is worth asking again soon
│   └── AsleepError          not yet: it is loaded when somebody asks
├── PluginError              a plugin cannot be loaded, or breaks its contract
├── DeadlineError            the answer would come too late
│   └── GivenUpError         a plugin let it take no longer
├── QuotaExceededError       the caller has used up what it may
├── AccessDeniedError        the caller may not use this model
├── AdminKeyError            the caller must show the admin key
├── RequestError             the caller's request cannot be answered
│   ├── MalformedError       it is not well-formed JSON
│   ├── InvalidInputError    it is well-formed, but not what the model takes
│   ├── TooLargeError        its body is longer than the server accepts
│   └── UnsupportedMediaError  its media type, charset or encoding is not accepted
└── RunError                 the runtime failed on inputs that passed every check
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "AccessDeniedError",
    "AdminKeyError",
    "ArgumentError",
    "AsleepError",
    "ConflictError",
    "ConversionError",
    "DeadlineError",
    "ForetellError",
    "GivenUpError",
    "IntegrityError",
    "InvalidInputError",
    "InvalidNameError",
    "ListenError",
    "LoadTimeoutError",
    "MalformedError",
    "ManifestError",
    "MissingExtraError",
    "NotFoundError",
    "NotReadyError",
    "ParityError",
    "PluginError",
    "Problem",
    "PublishError",
    "QueueFullError",
    "QuotaExceededError",
    "RequestError",
    "RunError",
    "ScreeningError",
    "SettingsError",
    "StillLoadingError",
    "StoreError",
    "TooLargeError",
    "UnsupportedMediaError",
]


class ForetellError(Exception):
    """Root of everything that foretell raises on purpose."""


class SettingsError(ForetellError, ValueError):
    """A setting is misspelt, ill-typed or contradicts another."""


class ListenError(ForetellError, OSError):
    """The server cannot listen where it is told to: the port is taken, or the address is not this machine's."""


class MissingExtraError(ForetellError, ImportError):
    """An optional dependency is needed and not installed; the message names the extra."""

    def __init__(self, extra: str, purpose: str) -> None:
        in_a_clone = "`make convert` in a clone of foretell, or " if extra == "convert" else ""
        super().__init__(
            f"{purpose} needs an optional dependency: {in_a_clone}pip install 'foretell[{extra}]'"
        )


class StoreError(ForetellError):
    """The model store, or a version in it, cannot be used."""


class InvalidNameError(StoreError, ValueError):
    """A model, version, alias, column or input has a name that is not allowed."""


class ManifestError(StoreError, ValueError):
    """A manifest.json or model.toml does not say what it must."""


class IntegrityError(StoreError):
    """A file is absent, or is not the one that was published."""


class ScreeningError(StoreError):
    """A model file asks for what it may not have, or is no ONNX model."""


class LoadTimeoutError(StoreError, TimeoutError):
    """A version takes too long to load or to warm up."""


class PublishError(ForetellError):
    """An estimator cannot become a served model."""


class ArgumentError(PublishError, ValueError):
    """`publish` or `convert` was called with an argument that it does not take."""


class ConversionError(PublishError, ValueError):
    """There is no ONNX form of the estimator, or not for such inputs."""


class ParityError(PublishError):
    """The ONNX form answers differently from the estimator."""


class NotFoundError(ForetellError, LookupError):
    """No such model, version or alias."""


class ConflictError(ForetellError):
    """There is one of that name already."""


class NotReadyError(ForetellError, RuntimeError):
    """The model exists, but does not serve, or not yet.

    Args:
        message: Why.
        retry_after_s: When it is worth asking again, seconds; None where that is not known.
    """

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class QueueFullError(NotReadyError):
    """Too much waits for the model: the same request may be answered once that is done."""


class StillLoadingError(NotReadyError):
    """The models are still being loaded: the same request may be answered in a moment."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_s=1)


class AsleepError(NotReadyError):
    """The model is loaded when somebody asks it, and nobody has yet."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"model {model!r} is not loaded: it is when somebody asks it", retry_after_s=1)


class PluginError(ForetellError):
    """A plugin cannot be loaded, or breaks its contract; the message names the plugin and the remedy."""


class DeadlineError(ForetellError, TimeoutError):
    """The answer would come too late."""


class GivenUpError(DeadlineError):
    """A plugin let what it stands around take no longer.

    Attributes:
        limit_s: How long it could take, seconds.
    """

    def __init__(self, who: str, limit_s: float, limited_by: str) -> None:
        self.limit_s = limit_s
        super().__init__(f"{who} was given up after {max(limit_s, 0):.3g} s ({limited_by})")


class QuotaExceededError(ForetellError):
    """The caller has used up what it may; for plugins of stage GUARD."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class AccessDeniedError(ForetellError, PermissionError):
    """The caller may not use this model; for plugins of stage GUARD."""


class AdminKeyError(ForetellError):
    """What is asked is for those who have the admin key, and the caller has not shown it."""

    def __init__(self) -> None:
        super().__init__("the admin key is wanted: Authorization: Bearer <key>")


class RequestError(ForetellError, ValueError):
    """The caller's request cannot be answered as it is."""


class MalformedError(RequestError):
    """The body is not well-formed JSON."""


class Problem(NamedTuple):
    """One thing that is wrong with an input: where (a JSON path) and what."""

    path: str
    message: str


class InvalidInputError(RequestError):
    """The body is well-formed, but not what the model takes."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{path}: {message}" for path, message in problems))


class TooLargeError(RequestError):
    """The body is longer than the server accepts."""


class UnsupportedMediaError(RequestError):
    """The body's media type, charset or content encoding is not accepted."""


class RunError(ForetellError, RuntimeError):
    """The runtime failed on inputs that passed every check.

    Args:
        message: What the runtime says.
        blames_values: Whether it says that a value of the inputs is to blame.
    """

    def __init__(self, message: str, *, blames_values: bool = False) -> None:
        self.blames_values = blames_values
        super().__init__(message)
