"""The cache in a real server: whichever way a question is asked, and whatever happens to Redis."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.models import linear_model_bytes, slow_model_bytes, write_model_toml, write_version
from tests.plugins.cache.conftest import RedisServer
from tests.servers import SAMPLE_STORE, RunningServer, ServeStore

KEY = "the admin key of this test"
ROW = [5.1, 3.5, 1.4, 0.2]
RECORD = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
FORCED = ["--set", "plugins.enabled=cache", "--set", "plugins.config.cache.force=true"]


@pytest.fixture(scope="module")
def server(shared_store: ServeStore) -> RunningServer:
    """The sample store behind a cache that keeps everything."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return shared_store(SAMPLE_STORE, *FORCED, "--set", f"admin.key_sha256={digest}")


def post(server: RunningServer, path: str, body: object, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, headers=headers, timeout=30)


def test_the_same_question_hits_however_it_is_written(server: RunningServer) -> None:
    path = "/v1/models/iris:predict"
    first = post(server, path, {"instances": [ROW]})
    assert first.headers["x-foretell-cache"] == "miss"
    expected = first.json()["predictions"]
    for body in (
        {"instances": [RECORD]},
        {"instances": [dict(reversed(RECORD.items()))]},
        {"instances": [[5.10, 3.5e0, 1.4, 0.20]]},
    ):
        again = post(server, path, body)
        assert again.headers["x-foretell-cache"] == "hit"
        assert again.json()["predictions"] == expected
    columns = post(server, path, {"inputs": {name: [value] for name, value in RECORD.items()}})
    assert columns.headers["x-foretell-cache"] == "hit"
    simple = post(server, "/predict", {"features": ROW})
    assert simple.headers["x-foretell-cache"] == "hit"
    assert simple.json()["prediction"] == expected[0]["label"]
    by_alias = post(server, "/v1/models/iris/labels/champion:predict", {"instances": [ROW]})
    assert by_alias.headers["x-foretell-cache"] == "hit"


def test_every_answer_has_its_own_request_id(server: RunningServer) -> None:
    ids = [
        post(server, "/predict", {"features": [6, 3, 5, 2]}, **{"X-Request-ID": f"mine-{number}"}).json()[
            "request_id"
        ]
        for number in range(3)
    ]
    assert ids == ["mine-0", "mine-1", "mine-2"]


def test_another_version_answers_for_itself(server: RunningServer) -> None:
    rows = {"instances": [[6.3, 2.8, 5.1, 1.5]]}
    answers = {}
    for version in (1, 2):
        path = f"/v1/models/iris/versions/{version}:predict"
        post(server, path, rows)
        answer = post(server, path, rows)
        assert answer.headers["x-foretell-cache"] == "hit"
        answers[version] = answer.json()
        assert answers[version]["model_version"] == str(version)
    assert answers[1]["predictions"] != answers[2]["predictions"]


def test_no_store_is_honoured(server: RunningServer) -> None:
    for _ in range(2):
        answer = post(server, "/predict", {"features": [9, 9, 9, 9]}, **{"Cache-Control": "no-store"})
        assert answer.headers["x-foretell-cache"] == "bypass"
    assert post(server, "/predict", {"features": [9, 9, 9, 9]}).headers["x-foretell-cache"] == "miss"


def test_a_refused_request_says_nothing_of_the_cache(server: RunningServer) -> None:
    answer = post(server, "/predict", {"features": ["x"]})
    assert answer.status_code == 422
    assert "x-foretell-cache" not in answer.headers


def test_those_with_the_key_can_drop_the_answers_of_one_model(server: RunningServer) -> None:
    body = {"features": [1, 1, 1, 1]}
    post(server, "/predict", body)
    url = f"{server.url}/admin/cache/iris"
    assert httpx.delete(url).status_code == 401
    assert httpx.delete(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert post(server, "/predict", body).headers["x-foretell-cache"] == "hit"
    allowed = {"Authorization": f"Bearer {KEY}"}
    dropped = httpx.delete(url, headers=allowed)
    assert dropped.status_code == 200
    assert dropped.json()["model"] == "iris"
    assert dropped.json()["memory"] >= 1
    assert dropped.json()["redis"] is None
    assert post(server, "/predict", body).headers["x-foretell-cache"] == "miss"
    assert httpx.delete(f"{server.url}/admin/cache/nobody", headers=allowed).status_code == 404


def test_the_name_of_a_model_that_is_not_there_is_shown_shortened(server: RunningServer) -> None:
    answer = httpx.delete(
        f"{server.url}/admin/cache/{'n' * 30_000}", headers={"Authorization": f"Bearer {KEY}"}
    )
    assert answer.status_code == 404
    assert "there is no model 'nnn" in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 200


def test_without_a_key_nobody_can_drop_anything(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    server = serve_store(store, *FORCED)
    answer = httpx.delete(f"{server.url}/admin/cache/m", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 403
    assert "set admin.key_sha256" in answer.json()["detail"]


def test_a_model_that_is_not_deterministic_is_left_alone(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "dear", 1, slow_model_bytes(64, 24))
    write_version(store, "random", 1, slow_model_bytes(64, 24))
    write_model_toml(store, "random", "[plugins.cache]\ndeterministic = false\n")
    server = serve_store(store, "--set", "plugins.enabled=cache")
    wide = {"instances": [[0.0] * 64]}
    post(server, "/v1/models/dear:predict", wide)
    answer = post(server, "/v1/models/dear:predict", wide)
    assert answer.headers["x-foretell-cache"] == "hit"
    assert "x-foretell-cache" not in post(server, "/v1/models/random:predict", wide).headers


# ------------------------------------------------------------------ Redis


class Traffic:
    """Asks for predictions in a loop, from several threads, and keeps what goes wrong."""

    def __init__(self, server: RunningServer, threads: int = 4) -> None:
        self.wrong: list[Any] = []
        self.statuses: dict[str, int] = {}
        self.asked = 0
        self._server = server
        self._enough = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(30)

    def wait(self, more: int) -> None:
        """Wait for so many further answers."""
        with self._changed:
            goal = self.asked + more
            assert self._changed.wait_for(lambda: self.asked >= goal or self.wrong, 60)

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while not self._enough.is_set():
                value = (self.asked + number) % 50
                row = [float(value)] + [0.0] * 63
                answer = client.post("/v1/models/m:predict", json={"instances": [row]})
                with self._changed:
                    self.asked += 1
                    if answer.status_code != 200 or len(answer.json()["predictions"][0]) != 64:
                        self.wrong.append((answer.status_code, answer.text))
                    else:
                        status = answer.headers["x-foretell-cache"]
                        self.statuses[status] = self.statuses.get(status, 0) + 1
                    self._changed.notify_all()


@pytest.fixture
def with_redis(
    serve_store: ServeStore, store: Path, redis_server: RedisServer
) -> Callable[..., RunningServer]:
    write_version(store, "m", 1, slow_model_bytes(64, 24))

    def start(ttl_s: float = 0.05) -> RunningServer:
        settings = [
            f"redis_url={redis_server.url}",
            "redis_min_run_us=0",
            f"ttl_s={ttl_s}",
            "redis_timeout_s=0.05",
        ]
        return serve_store(
            store, *FORCED, *(word for each in settings for word in ("--set", f"plugins.config.cache.{each}"))
        )

    return start


def test_no_request_fails_whatever_happens_to_redis(
    with_redis: Callable[..., RunningServer], redis_server: RedisServer
) -> None:
    server = with_redis()
    with Traffic(server) as traffic:
        traffic.wait(100)
        redis_server.pause()
        traffic.wait(100)
        redis_server.resume()
        traffic.wait(100)
        redis_server.stop()
        traffic.wait(100)
        redis_server.start()
        server.wait_for("the shared cache is back")
        traffic.wait(100)
    assert traffic.wrong == []
    assert traffic.statuses["miss"] > 0
    assert server.stop() == 0


def test_two_servers_share_their_answers(with_redis: Callable[..., RunningServer]) -> None:
    one, other = with_redis(ttl_s=60), with_redis(ttl_s=60)
    for number in range(100):  # an answer is written behind the first caller's back
        body = {"instances": [[float(number)] * 64]}
        first = post(one, "/v1/models/m:predict", body)
        assert first.headers["x-foretell-cache"] == "miss"
        second = post(other, "/v1/models/m:predict", body)
        assert second.json()["predictions"] == first.json()["predictions"]
        if second.headers["x-foretell-cache"] == "hit":
            return
    raise AssertionError("the other server never found an answer")


def test_a_redis_that_was_never_there_stops_nothing(serve_store: ServeStore, store: Path) -> None:
    write_version(store, "m", 1, slow_model_bytes(64, 24))
    settings = ["redis_url=redis://127.0.0.1:1/0", "redis_min_run_us=0"]
    server = serve_store(
        store, *FORCED, *(word for each in settings for word in ("--set", f"plugins.config.cache.{each}"))
    )
    for _ in range(5):
        assert post(server, "/v1/models/m:predict", {"instances": [[1.0] * 64]}).status_code == 200
    assert server.stop() == 0


def test_what_is_dropped_is_counted_here_and_in_redis(
    serve_store: ServeStore, store: Path, redis_server: RedisServer
) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    settings = [
        f"plugins.config.cache.redis_url={redis_server.url}",
        "plugins.config.cache.redis_min_run_us=0",
        "plugins.config.cache.redis_timeout_s=5",
        f"admin.key_sha256={digest}",
    ]
    server = serve_store(store, *FORCED, *(word for each in settings for word in ("--set", each)))
    post(server, "/v1/models/m:predict", {"instances": [[1, 2]]})
    allowed = {"Authorization": f"Bearer {KEY}"}
    url = f"{server.url}/admin/cache/m"
    assert httpx.delete(url, headers=allowed).json() == {"model": "m", "memory": 1, "redis": 1}
    redis_server.stop()
    post(server, "/v1/models/m:predict", {"instances": [[1, 2]]})
    failed = httpx.delete(url, headers=allowed)
    assert failed.status_code == 503
    assert "this process has dropped its answers, but Redis cannot be reached: Connection" in failed.text


def test_the_log_says_that_redis_is_not_there_and_which_models_do_not_use_it(
    serve_store: ServeStore, store: Path
) -> None:
    for version in (1, 2):
        write_version(store, "m", version, linear_model_bytes())
    server = serve_store(store, *FORCED, "--set", "plugins.config.cache.redis_url=redis://127.0.0.1:1/0")
    told = server.wait_for("answers are not shared through Redis")
    assert told["model"] == "m"
    assert told["reason"].endswith("µs, and redis_min_run_us is 1000")
    assert "Connection" in server.wait_for("the shared cache is lost; models are asked instead")["reason"]
    _ = server.url
    assert server.stop() == 0
    assert sum(event["event"] == told["event"] for event in server.events) == 1
