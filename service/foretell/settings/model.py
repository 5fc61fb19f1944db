"""Every setting of the server, with its unit, its default and why."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "AdminSettings",
    "EngineSettings",
    "GrpcSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PluginSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
]

Port = Annotated[int, Meta(ge=0, le=65535)]
# Upper bounds refuse what can only be a slip; no machine needs more.
Bytes = Annotated[int, Meta(ge=1, le=1024**4)]
UrlPath = Annotated[
    str, Meta(pattern=r"^/[!-z~]*[!-.0-z~]$", description="a path that begins with /, without braces")
]
UrlPathOrRoot = Annotated[
    str, Meta(pattern=r"^/([!-z~]*[!-.0-z~])?$", description="a path that begins with /, without braces")
]
BytesOrNever = Annotated[int, Meta(ge=0, le=1024**4)]
Rows = Annotated[int, Meta(ge=1, le=10_000_000)]
Threads = Annotated[int, Meta(ge=1, le=1024)]
WholeSeconds = Annotated[int, Meta(ge=1, le=86_400)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Deadline = Annotated[float, Meta(ge=0.001, le=86_400)]
Microseconds = Annotated[float, Meta(ge=0, le=86_400e6)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Timeout = Annotated[float, Meta(ge=0.001, le=86_400)]
Silence = Annotated[float, Meta(ge=1, le=86_400)]
Workers = Annotated[int, Meta(ge=1, le=1024)]
Interval = Annotated[float, Meta(ge=0.05, le=86_400)]
Models = Annotated[int, Meta(ge=1, le=1_000_000)]
Text = Annotated[str, Meta(min_length=1)]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens.

    Attributes:
        host: The address to bind. This machine only, until told otherwise.
        port: The TCP port; 0 takes a free one, which is printed.
        drain_s: How long requests that are going on may take to finish when the server is told to stop, seconds.
            Orchestrators kill after 30.
        linger_s: How long of that it goes on accepting and answering at first, seconds, while `/health/ready` says
            503 and every answer closes its connection; it ends early when no connection is left. Requests that are
            on the wire at the end arrive within one second. Behind a load balancer that asks less often, choose
            longer than it takes to notice.
        workers: How many processes answer on the port; `auto` means one for each CPU that this process may use. One
            is no child of another, and what more than one have is a parent that replaces them when they die.
        hang_s: After how long a silence of its event loop a worker is killed and replaced, seconds. Nothing may hold
            the loop for longer than milliseconds, and models load beside it; but a machine that swaps or is moved
            may stand still for some seconds, and a worker that is killed for it loses its requests.
        compress_min_bytes: The length from which on predictions are compressed for callers who accept gzip or
            deflate, bytes; 0 for never. Most answers are short, and compressing them takes longer than sending.
        accelerated: Whether predictions that need not wait are answered straight from the parser of HTTP, without an
            ASGI cycle. What is answered is the same.
    """

    host: Text = "127.0.0.1"
    port: Port = 8000
    drain_s: WholeSeconds = 25
    linger_s: Seconds = 1.0
    workers: Workers | Literal["auto"] = 1
    hang_s: Silence = 30.0
    compress_min_bytes: BytesOrNever = 16 * 1024
    accelerated: bool = True


class GrpcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens for gRPC.

    Attributes:
        port: The TCP port; 0 takes a free one, which is printed. Off until it is set, since it needs the extra `grpc`
            and is one more door.
        host: The address to bind; that of `server.host` if it is not set.
    """

    port: Port | None = None
    host: Text | None = None


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the models are.

    Attributes:
        path: The store's folder, relative to the working directory.
        default_model: The model that answers the simple protocol; if it is not set and the store holds one model,
            that one.
        max_file_bytes: The greatest size of one file of a version, bytes. A larger one is refused.
        follow: How changes are noticed: by events of the file system, by looking every `poll_s`, not at all (`off`),
            or by events where they can be had (`auto`). Network file systems give none.
        poll_s: How often the store is looked at where there are no events, seconds. A look reads names, sizes and
            times of files, and every model.toml.
    """

    path: Text = "model_store"
    default_model: str | None = None
    max_file_bytes: Bytes = 2 * 1024**3
    follow: Literal["auto", "events", "poll", "off"] = "auto"
    poll_s: Interval = 5.0


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may cost.

    Attributes:
        max_body_bytes: The greatest length of a request's body, bytes.
        max_rows: The greatest number of rows in one request; model.toml can set another for its model.
        deadline_s: How long a caller waits who does not say so with ``X-Request-Timeout``; after that the answer is
            a 504, seconds. model.toml can set another for its model.
        max_deadline_s: How long a caller may say that it waits, seconds.
        max_queue_rows: How many rows may wait for a run of one version; what comes after them is answered 503.
        max_queue_s: How long a request may have to wait for its run, by what was measured, seconds; one that would
            have to wait longer is answered 503 at once, which tells its caller more than a late answer.
    """

    max_body_bytes: Bytes = 16 * 1024**2
    max_rows: Rows = 10_000
    deadline_s: Deadline = 60.0
    max_deadline_s: Deadline = 600.0
    max_queue_rows: Rows = 100_000
    max_queue_s: Deadline = 10.0


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are run.

    Attributes:
        intra_op_threads: How many threads one run may use inside an operator. One, so that runs at the same time
            do not fight for CPUs.
        run_threads: How many runs may go on at once outside the event loop, of all models together; if it is not
            set, one for each CPU that this process may use.
        inline_us: Runs expected to be shorter than this happen on the event loop, µs. A hop to a thread and back
            costs about half as much.
        memory_arena: Whether the runs of a model keep the memory that they have used for those that follow. That is
            faster for large models; without it, what a rare large request took is given back. model.toml can set
            another for its model.
        share_weights: Whether the workers have one copy of a version's weights in memory, where they take 8 MB or
            more. The first worker that loads it writes them to the folder for temporary files, about twice their
            size, and they are gone when the server ends. model.toml can set another for its model.
        startup_wait_s: How long the start waits for the models, seconds. After that the server listens, and answers
            503 for what is still being loaded.
        load_timeout_s: How long one version may take to load and warm up, seconds. After that it has failed, and its
            place is given to the next. Large models on slow disks take tens of seconds.
        lazy: Whether a model is loaded when it is first asked, and not at the start. For stores of more models than
            are asked in a day; the first caller waits.
        max_loaded_models: How many models may be loaded at once; the one that was not asked for longest is let go
            for the next. Setting it makes loading lazy.
    """

    intra_op_threads: Threads = 1
    run_threads: Threads | None = None
    inline_us: Microseconds = 200.0
    memory_arena: bool = True
    share_weights: bool = True
    startup_wait_s: Seconds = 30.0
    load_timeout_s: Timeout = 120.0
    lazy: bool = False
    max_loaded_models: Models | None = None


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged, on standard error.

    Attributes:
        level: The least severe level that is written.
        format: JSON lines for machines, text for people; `auto` means text on a terminal.
        predictions: The fraction of successful predictions that leave a line. Failures always do.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    predictions: Fraction = 0.0


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may use the routes that change something.

    Attributes:
        key_sha256: The SHA-256 of the admin key, in hexadecimal. The routes are off until it is set. The key itself
            stands in no setting; make it long and random, for instance with ``openssl rand -hex 32``.
    """

    key_sha256: (
        Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits, in lower case")]
        | None
    ) = None


class PluginSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which plugins stand around predictions.

    Attributes:
        enabled: Their names. Within a stage, the first is the outermost.
        folder: Where plugins of a single file are dropped in, relative to the working directory.
        config: The table of each plugin, by name: its own keys, and ``optional``, ``timeout_s`` and ``budget_us``.
    """

    enabled: tuple[Text, ...] = ("tracing", "metrics", "fallback", "cache")
    folder: Text = "plugins"
    config: dict[str, dict[str, Any]] = {}


class PlatformSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What platforms ask for beside the routes that are always there. They set it themselves.

    Attributes:
        predict_route: A further path on which the default model predicts, as ``/invocations`` does; Vertex AI's
            AIP_PREDICT_ROUTE.
        health_route: A further path that says whether the server is ready; Vertex AI's AIP_HEALTH_ROUTE.
        sagemaker_multi_model: Whether whoever reaches the server may have it serve models from folders of this
            machine, under ``/models``: SageMaker's multi-model endpoints, where nobody but the platform reaches it.
    """

    predict_route: UrlPath | None = None
    health_route: UrlPathOrRoot | None = None
    sagemaker_multi_model: bool = False


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is set for one model in the server's own settings, over what its model.toml says.

    Attributes:
        plugins: For a plugin's name: false switches it off, a table sets keys.
    """

    plugins: dict[str, Any] = {}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting, by section.

    Attributes:
        server: Where the server listens.
        grpc: Where the server listens for gRPC.
        store: Where the models are.
        limits: What one request may cost.
        engine: How models are run.
        log: What is logged.
        admin: Who may use the routes that change something.
        platform: What platforms ask for.
        plugins: Which plugins stand around predictions.
        models: What is set for single models, by name.
    """

    server: ServerSettings = ServerSettings()
    grpc: GrpcSettings = GrpcSettings()
    store: StoreSettings = StoreSettings()
    limits: LimitSettings = LimitSettings()
    engine: EngineSettings = EngineSettings()
    log: LogSettings = LogSettings()
    admin: AdminSettings = AdminSettings()
    platform: PlatformSettings = PlatformSettings()
    plugins: PluginSettings = PluginSettings()
    models: dict[str, ModelSettings] = {}
