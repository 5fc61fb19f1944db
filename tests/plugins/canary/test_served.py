"""The canary in a real server: the same users keep their version when its weight rises."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.models import linear_model_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore

USERS = [f"user-{number}" for number in range(200)]
ENABLED = ["--set", "plugins.enabled=metrics,canary"]


def write_weight(store: Path, per_cent: float) -> None:
    write_model_toml(
        store,
        "m",
        'default = "champion"\naliases = {champion = 1, candidate = 2}\n'
        f'[plugins.canary]\nkey = "header:X-User"\nweights.candidate = {per_cent}\n',
    )


def in_canary(server: RunningServer, path: str = "/v1/models/m:predict") -> set[str]:
    """The users whom the candidate answers; checks that each answer is that of the version that it names."""
    found: set[str] = set()
    sums = {"1": 103.0, "2": 203.0}
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for user in USERS:
            answer = client.post(path, json={"instances": [[1, 2]]}, headers={"x-user": user})
            assert answer.status_code == 200
            version = answer.headers["x-model-version"]
            assert answer.json()["model_version"] == version
            assert answer.json()["predictions"] in ([sums[version]], [{"prediction": sums[version]}])
            assert answer.headers.get("x-foretell-canary") == ("candidate" if version == "2" else None)
            if version == "2":
                found.add(user)
    return found


def test_users_stay_where_they_are_over_restarts_and_rising_weights(
    serve_store: ServeStore, store: Path
) -> None:
    for number in (1, 2):
        write_version(store, "m", number, linear_model_bytes(bias=100.0 * number))
    write_weight(store, 20)
    server = serve_store(store, *ENABLED, "--set", "store.default_model=m")
    some = in_canary(server)
    assert 15 < len(some) < 70
    assert in_canary(server, "/predict/batch") == some
    metrics = httpx.get(f"{server.url}/metrics").text
    line = 'foretell_requests_total{model="m",outcome="success",protocol="native",version="2"}'
    assert f"{line} {float(len(some))}" in metrics
    assert server.stop() == 0

    write_weight(store, 40)
    more = in_canary(serve_store(store, *ENABLED))
    assert some < more

    write_weight(store, 100)
    server = serve_store(store, *ENABLED)
    assert in_canary(server) == set(USERS)
    assert in_canary(server, "/v1/models/m/labels/champion:predict") == set()
