"""Whoever asks a model that is loaded when it is asked gets its answer, and holds the version that gives it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from foretell.errors import DeadlineError
from foretell.http.host import ModelsView
from foretell.plugin import NoConfig, Plugin, Stage
from foretell.prediction import Choose, ModelInfo, Predict, PredictRequest, PredictResponse, RequestRecord
from tests.models import endless_model_bytes, linear_model_bytes, write_model_toml, write_version
from tests.plugins.fallback.servers import Server


def request(deadline_ns: int = 0) -> PredictRequest:
    record = RequestRecord("r", "native", 0, deadline_ns=deadline_ns)
    return PredictRequest({"X": np.ones((1, 2), dtype=np.float32)}, 1, record)


@pytest.mark.parametrize("deadline_s", [0, 60], ids=["no deadline", "a deadline"])
def test_a_plugin_wakes_the_model_that_it_asks(store: Path, deadline_s: float) -> None:
    write_version(store, "m", 1, linear_model_bytes())

    async def main() -> None:
        server = Server(store, lazy=True)
        await server.registry.load()
        view = ModelsView(server.registry, Stage.FALLBACK)
        assert view.infos() == []
        assert view.info("m") is None
        ends_ns = time.perf_counter_ns() + int(deadline_s * 1e9) if deadline_s else 0
        response = await view.predict("m", None, request(ends_ns))
        assert response.outputs["Y"].tolist() == [[2.0]]
        assert [info.version for info in view.infos("m")] == [1]
        server.close()

    asyncio.run(main())


def test_a_bare_model_is_woken_without_waiting_for_its_files_to_hold_still(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(store, "m", 1, linear_model_bytes(), manifest=False)
    monkeypatch.setattr("foretell.engine.arrival._SETTLE_S", 3600.0)

    async def main() -> None:
        server = Server(store, lazy=True)
        await server.registry.load()
        async with asyncio.timeout(60):
            response = await ModelsView(server.registry, Stage.FALLBACK).predict("m", None, request())
        assert response.outputs["Y"].tolist() == [[2.0]]
        server.close()

    asyncio.run(main())


def test_a_plugin_waits_no_longer_than_the_caller_it_asks_for(store: Path) -> None:
    write_version(store, "m", 1, endless_model_bytes(), manifest=False)

    async def main() -> None:
        server = Server(store, lazy=True)
        await server.registry.load()
        view = ModelsView(server.registry, Stage.FALLBACK)
        with pytest.raises(DeadlineError):
            await view.predict("m", 1, request(time.perf_counter_ns() + 10_000_000))
        server.close()

    asyncio.run(main())


def test_a_caller_whose_deadline_passes_while_a_model_is_loaded_gets_504(store: Path) -> None:
    write_version(store, "m", 1, endless_model_bytes(), manifest=False)

    async def main() -> None:
        server = Server(store, lazy=True, deadline_s=0.05)
        await server.registry.load()
        assert (await server.ask_rows("m", [1.0])).status == 504
        assert (await server.ask_rows("absent", [1.0])).status == 404
        server.close()

    asyncio.run(main())


def test_models_that_push_each_other_out_all_answer(store: Path) -> None:
    for name in ("a", "b", "c"):
        write_version(store, name, 1, linear_model_bytes())

    async def main() -> None:
        server = Server(store, lazy=True, max_loaded_models=1)
        await server.registry.load()
        for _ in range(3):
            answers = await asyncio.gather(*(server.ask_rows(name, [[1.0, 2.0]]) for name in "abcabc"))
            assert {answer.status for answer in answers} == {200}
        server.close()

    asyncio.run(main())


class Chooses(Plugin[NoConfig]):
    """Version 2 answers whoever names none, and says when it was asked."""

    stage: ClassVar[Stage] = Stage.SHADOW
    asked: ClassVar[list[int]] = []

    def wrap_choice(self, call_next: Choose, model: ModelInfo) -> Choose:
        return lambda _: 2

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        async def predict(request: PredictRequest) -> PredictResponse:
            held = self.server.registry.model("m").versions
            self.asked.append(sum(number * held[number].use.going_on for number in held))
            return await call_next(request)

        return predict

    server: ClassVar[Server]


def test_a_request_holds_the_version_that_was_chosen_for_it(store: Path) -> None:
    """It must not be closed under it; the default that it was chosen in place of may be."""
    for number in (1, 2):
        write_version(store, "m", number, linear_model_bytes())
    write_model_toml(store, "m", "default = 1")

    async def main() -> None:
        Chooses.server = server = Server(store, plugins={"chooses": Chooses})
        await server.registry.load()
        answer = await server.ask_rows("m", [[1.0, 2.0]])
        assert (answer.status, answer.body["model_version"]) == (200, "2")
        assert Chooses.asked == [2]
        server.close()

    asyncio.run(main())
