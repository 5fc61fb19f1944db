"""Many callers, two models with two versions each, the same inputs, a cache around all: nobody gets another's number."""

from __future__ import annotations

import http.client
import json
import random
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.models import linear_model_bytes, write_model_toml, write_version
from tests.servers import ServeStore

CLIENTS, REQUESTS = 16, 10_000
MODELS = {("one", 1): 1.0, ("one", 2): 10.0, ("two", 1): 100.0, ("two", 2): 1000.0}


@pytest.mark.parametrize("enabled", ["", "cache"], ids=["no plugins", "cache"])
def test_every_answer_is_the_asked_version_s_own(serve_store: ServeStore, store: Path, enabled: str) -> None:
    for (name, number), weight in MODELS.items():
        write_version(store, name, number, linear_model_bytes(weights=[weight, weight]))
    for name in ("one", "two"):
        write_model_toml(store, name, "[aliases]\nold = 1\n")
    settings = [f"plugins.enabled={enabled}", "plugins.config.cache.force=true"]
    server = serve_store(store, *(word for setting in settings for word in ("--set", setting)))
    address = urlsplit(server.url)
    wrong: list[Any] = []
    statuses: set[str | None] = set()

    def ask_many(seed: int) -> None:
        chance = random.Random(seed)
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=60)
        for number in range(REQUESTS // CLIENTS):
            (name, version), weight = chance.choice(list(MODELS.items()))
            rows = [
                [float(chance.randrange(8)), float(chance.randrange(8))]
                for _ in range(chance.choice([1, 1, 3]))
            ]
            path = f"/v1/models/{name}"
            path += chance.choice([f"/versions/{version}", "/labels/old" if version == 1 else ""])
            identity = f"{seed}-{number}"
            connection.request(
                "POST",
                f"{path}:predict",
                json.dumps({"instances": rows}),
                {"Content-Type": "application/json", "X-Request-ID": identity},
            )
            response = connection.getresponse()
            answer = json.loads(response.read())
            statuses.add(response.getheader("x-foretell-cache"))
            expected = {
                "predictions": [sum(row) * weight for row in rows],
                "model_name": name,
                "model_version": str(version),
                "request_id": identity,
            }
            if answer != expected:
                wrong.append((path, rows, answer))
        connection.close()

    threads = [threading.Thread(target=ask_many, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    # Two that come together and are equal are answered once, if the run is not over when the second comes.
    assert statuses - {"coalesced"} == ({"hit", "miss"} if enabled else {None})
