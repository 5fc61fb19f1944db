"""Both clients against a real server, from what a caller holds to what a model answers."""

from __future__ import annotations

import asyncio
import concurrent.futures
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from foretell.client import (
    AsyncClient,
    Client,
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    Problem,
)
from tests.client.clients import AnyClient, Connect
from tests.models import linear_model_bytes, steps_bytes, two_input_bytes, write_model_toml, write_version
from tests.servers import RunningServer, ServeStore

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 2.8, 5.1, 1.5]]
PENGUINS = pd.DataFrame(
    {
        "sex": ["male", None],
        "island": ["Torgersen", "Dream"],
        "bill_length_mm": [39.1, 46.5],
        "bill_depth_mm": [18.7, np.nan],
        "flipper_length_mm": pd.array([181, None], dtype="Int64"),
        "body_mass_g": [3750, 3500],
    }
)
FOR_EVER = 2**60


@pytest.fixture
def client(connect: Connect, sample_server: RunningServer) -> AnyClient:
    return connect(sample_server.url)


@pytest.fixture(scope="module")
def server(shared_store: ServeStore, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """Models in every state, on one thread."""
    store: Path = tmp_path_factory.mktemp("client") / "model_store"
    write_version(store, "steps", 1, steps_bytes())
    write_version(store, "linear", 1, linear_model_bytes(weights=[1.0, 2.0]))
    write_version(store, "two", 1, two_input_bytes())
    write_version(store, "broken", 1, linear_model_bytes())
    _break(write_version(store, "broken", 2, linear_model_bytes()))
    write_model_toml(store, "broken", 'default = 2\n[plugins]\nfallback = ["version:previous"]\n')
    _break(write_version(store, "gone", 1, linear_model_bytes()))
    return shared_store(store, "--set", "engine.run_threads=1", "--set", "engine.inline_us=0", measured=False)


def _break(version: Path) -> None:
    (version / "model.onnx").write_bytes(b"no model")


@pytest.fixture
def odd(connect: Connect, server: RunningServer) -> AnyClient:
    server.wait_for("serving")
    return connect(server.url)


FORMS = {
    "lists": ROWS,
    "records": [dict(zip(NAMES, row, strict=True)) for row in ROWS],
    "columns": dict(zip(NAMES, zip(*ROWS, strict=True), strict=True)),
    "an array": np.array(ROWS),
    "a float32 array": np.array(ROWS, dtype=np.float32),
    "a frame": pd.DataFrame(ROWS, columns=NAMES),
    "a frame in another order": pd.DataFrame(ROWS, columns=NAMES)[NAMES[::-1]],
    "rows of a frame": [row for _, row in pd.DataFrame(ROWS, columns=NAMES)[NAMES[::-1]].iterrows()],
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS.keys())
def test_every_form_gets_the_answer_of_the_plain_route(
    client: AnyClient, sample: httpx.Client, data: object
) -> None:
    answer = client.predict("iris", data)
    plain = sample.post("/v1/models/iris:predict", json={"instances": ROWS}).json()["predictions"]
    assert answer.predictions == plain
    assert answer.labels == [row["label"] for row in plain] == ["setosa", "versicolor"]
    assert answer.probabilities == [row["probabilities"] for row in plain]
    assert (answer.model_name, answer.model_version, answer.degraded) == ("iris", "1", False)


def test_gaps_of_a_frame_are_the_models_gaps(client: AnyClient, sample: httpx.Client) -> None:
    rows = [
        [39.1, 18.7, 181, 3750, "Torgersen", "male"],
        [46.5, None, None, 3500, "Dream", None],
    ]
    plain = sample.post("/v1/models/penguins:predict", json={"instances": rows}).json()["predictions"]
    assert client.predict("penguins", PENGUINS).predictions == plain


def test_a_model_with_one_output_answers_with_its_values(client: AnyClient) -> None:
    rows = np.zeros((2, 10))
    by_row = client.predict("diabetes", rows)
    assert isinstance(by_row.predictions[0], float)
    names = [column["name"] for column in client.model("diabetes")["versions"][0]["signature"]["columns"]]
    by_column = client.predict("diabetes", pd.DataFrame(rows, columns=names))
    assert by_column.predictions == by_row.predictions
    assert by_column.outputs == {"prediction": [[value] for value in by_row.predictions]}


def test_a_version_or_an_alias_is_asked_by_name(client: AnyClient) -> None:
    assert client.predict("iris", ROWS, version=2).model_version == "2"
    assert client.predict("iris", ROWS, version="1").model_version == "1"
    assert client.predict("iris", ROWS, alias="candidate").model_version == "2"


def test_the_request_id_is_the_callers_own(client: AnyClient) -> None:
    assert client.predict("iris", ROWS, request_id="from-the-caller").request_id == "from-the-caller"


def test_the_catalogue_is_told(client: AnyClient) -> None:
    assert client.models() == ["breast_cancer", "diabetes", "digits", "iris", "penguins"]
    iris = client.model("iris")
    assert iris["aliases"] == {"candidate": "2", "champion": "1"}
    assert [version["version"] for version in iris["versions"]] == ["1", "2"]
    assert [version["version"] for version in client.model("iris", alias="candidate")["versions"]] == ["2"]
    assert client.ready() is True


def test_compressed_rows_get_the_same_answer(connect: Connect, sample_server: RunningServer) -> None:
    plain = connect(sample_server.url).predict("iris", ROWS * 100)
    packed = connect(sample_server.url, gzip_over_bytes=100).predict("iris", ROWS * 100)
    assert packed.predictions == plain.predictions


def test_what_the_model_does_not_take_is_told_with_place_and_remedy(client: AnyClient) -> None:
    with pytest.raises(InvalidInputError) as caught:
        client.predict("iris", [ROWS[0], [5.1, "3.5", 1.4, 0.2]], request_id="mine")
    error = caught.value
    assert error.errors == (Problem("$.instances[1][1]", 'expected float, got "3.5"'),)
    assert error.detail == '$.instances[1][1]: expected float, got "3.5"'
    assert (error.status, error.request_id, error.tries) == (422, "mine", 1)
    assert str(error).endswith("(status 422, request mine)")


def test_a_gap_where_the_model_has_none_is_told(client: AnyClient) -> None:
    with pytest.raises(InvalidInputError, match="may not be missing"):
        client.predict("iris", np.full((1, 4), np.nan))


NOWHERE = {
    "model": ({"model": "lily"}, "there is no model 'lily'"),
    "version": ({"version": 9}, "no version 9"),
    "alias": ({"alias": "stable"}, "'stable'"),
    "a name with a question mark": ({"model": "iris?"}, r"there is no model 'iris\?'"),
    "a name of dots": ({"model": ".."}, r"there is no model '\.\.'"),
    "an alias in another script": ({"alias": "größer 1"}, "'größer 1'"),
}


@pytest.mark.parametrize(("how", "says"), NOWHERE.values(), ids=NOWHERE.keys())
def test_what_is_not_there_is_told(client: AnyClient, how: dict[str, Any], says: str) -> None:
    model = how.get("model", "iris")
    how = {name: value for name, value in how.items() if name != "model"}
    with pytest.raises(NotFoundError, match=says) as caught:
        client.predict(model, ROWS, **how)
    assert caught.value.status == 404


def test_a_run_that_takes_too_long_ends_at_the_callers_deadline(odd: AnyClient) -> None:
    assert odd.predict("steps", [1]).predictions == [1]
    with pytest.raises(DeadlineError, match="did not answer before the deadline"):
        odd.predict("steps", [FOR_EVER], timeout_s=0.3)
    assert odd.predict("steps", [1]).predictions == [1]


def test_a_version_that_failed_to_load_is_overloaded_only_in_name(
    connect: Connect, server: RunningServer
) -> None:
    with pytest.raises(OverloadedError, match="gone") as caught:
        connect(server.url, retries=0).predict("gone", [[1, 2]])
    assert caught.value.status == 503


def test_an_answer_of_another_version_says_so(odd: AnyClient) -> None:
    answer = odd.predict("broken", [[1, 2]], version=2)
    assert (answer.predictions, answer.model_version) == ([3.0], "1")
    assert (answer.degraded, answer.degraded_reason, answer.served_by) == (True, "not-ready", "broken/1")


def test_a_server_with_a_model_that_does_not_serve_is_not_ready(odd: AnyClient) -> None:
    assert odd.ready() is False


def test_a_model_without_columns_takes_whole_tensors(odd: AnyClient) -> None:
    assert odd.predict("linear", np.array([[1, 2], [3, 4]])).predictions == [5.0, 11.0]
    answer = odd.predict("two", {"A": np.zeros((2, 1)), "B": [[0], [0]]})
    assert answer.predictions == [1.0, 1.0]


def test_many_threads_share_one_client(sample_server: RunningServer) -> None:
    with Client(sample_server.url) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(client.predict, ["iris"] * 40, [[row] for row in ROWS] * 20))
    assert [answer.labels for answer in answers] == [["setosa"], ["versicolor"]] * 20


async def _many(url: str) -> list[list[str]]:
    async with AsyncClient(url) as client:
        answers = await asyncio.gather(*(client.predict("iris", [row]) for row in ROWS * 20))
        return [answer.labels for answer in answers]


def test_calls_of_an_async_client_go_on_beside_each_other(sample_server: RunningServer) -> None:
    assert asyncio.run(_many(sample_server.url)) == [["setosa"], ["versicolor"]] * 20


async def _given_up(url: str) -> list[int]:
    async with AsyncClient(url) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.predict("steps", [FOR_EVER])
        return (await client.predict("steps", [1])).predictions


def test_a_caller_that_gives_up_is_obeyed_and_the_client_goes_on(
    odd: AnyClient, server: RunningServer
) -> None:
    assert asyncio.run(_given_up(server.url)) == [1]
