"""model.toml: what the team decides about a model, and may edit at any time."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from foretell.errors import ManifestError
from foretell.store.files import read_regular
from foretell.store.layout import check_alias
from foretell.store.load_policy import Latest, LoadPolicy

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_BYTES", "ModelBatching", "ModelConfig", "ModelEngine", "ModelLimits"]

MAX_BYTES: Final = 1024**2
"""The greatest length of a model.toml."""

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0.001, le=86_400)]


class ModelLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one model, in place of the server's.

    Attributes:
        max_rows: The greatest number of rows in one request.
        deadline_s: How long a caller waits who does not say so, seconds.
        max_deadline_s: How long a caller may say that it waits, seconds.
        max_runs: How many runs may go on at once; as many as there are threads if None.
        max_queue_rows: How many rows may wait for a run.
        max_queue_s: How long a request may have to wait for its run, seconds; one that would is refused at once.
    """

    max_rows: PositiveInt | None = None
    deadline_s: Seconds | None = None
    max_deadline_s: Seconds | None = None
    max_runs: PositiveInt | None = None
    max_queue_rows: PositiveInt | None = None
    max_queue_s: Seconds | None = None


class ModelBatching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether concurrent requests share runs.

    Attributes:
        mode: ``auto`` lets them where warm-up measures that a bigger run is cheaper for each row; ``on`` always;
            ``off`` never. Runs on the event loop are shared, unless it is ``off``, where that changes no bit of an answer.
        max_rows: How many rows go together at most; what warm-up finds best if None.
        max_wait_us: How long a request waits for others although a thread is free for it, µs. They gather without it
            too, while all threads are busy.
    """

    mode: Literal["auto", "on", "off"] = "auto"
    max_rows: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)] | None = None
    max_wait_us: Annotated[float, msgspec.Meta(ge=0, le=10e6)] = 0.0


class ModelEngine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is run, in place of what the server's settings say.

    Attributes:
        intra_op_threads: How many threads one run may use inside an operator.
        memory_arena: Whether runs keep the memory that they have used for those that follow.
        share_weights: Whether the workers of a server have one copy of large weights.
    """

    intra_op_threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    memory_arena: bool | None = None
    share_weights: bool | None = None


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the team decides about a model.

    Attributes:
        enabled: Whether it is served at all; a disabled model does not count for readiness.
        default: The version, or the alias, that answers when a caller names neither; the highest version if None.
        aliases: Versions by alias.
        limits: Limits in place of the server's.
        batching: Whether concurrent requests share runs.
        engine: How it is run.
        warm_up: Whether a version must run on zeros before it serves, where no manifest has an example for it.
        plugins: For a plugin's name: false switches it off for this model, a table sets keys of it, and another
            value is the one key that the plugin has a short form for.
        load: Which versions are loaded, beside those that `default` or an alias names.
    """

    enabled: bool = True
    default: PositiveInt | str | None = None
    aliases: dict[str, PositiveInt] = {}
    limits: ModelLimits = ModelLimits()
    batching: ModelBatching = ModelBatching()
    engine: ModelEngine = ModelEngine()
    warm_up: bool = True
    plugins: dict[str, Any] = {}
    load: LoadPolicy = "all"

    def __post_init__(self) -> None:
        for alias in self.aliases:
            check_alias(alias)
        if isinstance(self.default, str) and self.default not in self.aliases:
            known = ", ".join(sorted(self.aliases)) or "there are none"
            message = f"`default` names the alias {self.default!r}, which is not under [aliases] ({known})"
            raise ValueError(message)

    @property
    def default_version(self) -> int | None:
        """The version that `default` names, by number or alias; None where it is the highest that serves."""
        return self.aliases[self.default] if isinstance(self.default, str) else self.default

    @property
    def named(self) -> set[int]:
        """The versions that `default` or an alias names."""
        default = self.default_version
        return {*self.aliases.values(), *(() if default is None else (default,))}

    @classmethod
    def read(cls, path: Path) -> ModelConfig:
        """Read a model.toml; what it does not set, or its absence, means the defaults.

        Raises:
            ManifestError: It is not TOML, or a key is misspelt or ill-typed; the message names file and key.
        """
        try:
            raw = read_regular(path, max_bytes=MAX_BYTES)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            message = f"{path} cannot be read: {error}"
            raise ManifestError(message) from error
        return cls.parse(raw, str(path))

    @classmethod
    def parse(cls, raw: bytes, source: str) -> ModelConfig:
        """Parse the bytes of a model.toml; `source` names it in messages.

        Raises:
            ManifestError: As for `read`.
        """
        try:
            return msgspec.convert(tomllib.loads(raw.decode()), cls)
        except (ValueError, RecursionError) as error:
            message = f"{source}: {error}{_hint(str(error))}"
            raise ManifestError(message) from error


_REMEDIES: Final = {
    "at `$.batching.mode`": "write 'auto', 'on' or 'off'",
    "at `$.batching.max_rows`": "to share no runs, write mode = 'off'",
}
"""What to write in place of a value that is none, by where it stands in the complaint."""


def _hint(complaint: str) -> str:
    """What a misspelt key may have been meant to be."""
    remedy = next((remedy for place, remedy in _REMEDIES.items() if place in complaint), None)
    if remedy is not None:
        return f"; {remedy}"
    found = re.search(r"unknown field `([^`]{1,64})`", complaint)
    if found is None:
        return ""
    tables = {"$.limits": ModelLimits, "$.batching": ModelBatching, "$.engine": ModelEngine, "$.load": Latest}
    table = next((tables[place] for place in tables if place in complaint), ModelConfig)
    known = table.__struct_fields__
    close = get_close_matches(found[1], known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"
