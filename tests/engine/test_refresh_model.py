"""Whatever happens to a store, what is served after a refresh is what a simple model of the rules says."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from foretell.engine.registry import Registry
from foretell.engine.version import Version
from tests.engine.loaders import LOADER
from tests.models import linear_model_bytes, make_manifest, write_model_toml, write_version

NUMBERS = st.integers(1, 4)
BAD = 0.0
"""The weight of a version whose model file is not the one of its manifest."""


class StoreOverTime(RuleBasedStateMachine):
    """A store of one model that changes, and a registry that is refreshed after each change."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Path(self.folder.name)
        self.runner = asyncio.Runner()
        self.registry: Registry[Version] = Registry(self.store, LOADER, serve=lambda version, _: version)
        self.digests: dict[str, float] = {}
        self.on_disk: dict[int, float] = {}
        self.serving: dict[int, float] = {}
        self.default: int | None = None
        self.aliases: dict[str, int] = {}
        self.alias_at: dict[str, int] = {}
        self.default_at: int | None = None
        self.weight = 0.0
        write_model_toml(self.store, "m", "")
        self.runner.run(self.registry.load())

    def teardown(self) -> None:
        self.registry.close()
        self.runner.close()
        self.folder.cleanup()

    @rule(number=NUMBERS, good=st.booleans())
    def put(self, number: int, good: bool) -> None:
        """Publish a version, or overwrite one."""
        self.weight += 1
        shutil.rmtree(self.store / "m" / str(number), ignore_errors=True)
        model = linear_model_bytes(weights=[self.weight] * 2)
        manifest = make_manifest(model)
        self.digests[manifest.digest] = self.weight
        write_version(self.store, "m", number, model if good else bytes(len(model)), manifest)
        self.on_disk[number] = self.weight if good else BAD
        self.refresh()

    @rule(number=NUMBERS)
    def remove(self, number: int) -> None:
        shutil.rmtree(self.store / "m" / str(number), ignore_errors=True)
        self.on_disk.pop(number, None)
        self.refresh()

    @rule(alias=st.sampled_from("ab"), number=NUMBERS)
    def move(self, alias: str, number: int) -> None:
        self.aliases[alias] = number
        self.refresh()

    @rule(number=st.none() | NUMBERS)
    def choose(self, number: int | None) -> None:
        self.default = number
        self.refresh()

    def refresh(self) -> None:
        lines = [f"default = {self.default}"] if self.default is not None else []
        lines += ["[aliases]", *(f"{alias} = {number}" for alias, number in self.aliases.items())]
        write_model_toml(self.store, "m", "\n".join(lines))
        self.runner.run(self.registry.refresh())
        self.follow()

    def follow(self) -> None:
        """What the rules make of the change."""
        self.serving = {
            number: weight if weight != BAD else self.serving[number]
            for number, weight in self.on_disk.items()
            if weight != BAD or number in self.serving
        }
        for alias, number in self.aliases.items():
            if number in self.serving or self.alias_at.get(alias) not in self.serving:
                self.alias_at[alias] = number
        if self.default is None:
            self.default_at = max(self.serving, default=None)
        elif self.default in self.serving:
            self.default_at = self.default
        elif self.default_at not in self.serving:
            self.default_at = None

    @invariant()
    def serves_what_the_rules_say(self) -> None:
        model = self.registry.model("m")
        served = {number: self.digests[each.info.digest] for number, each in model.versions.items()}
        assert served == self.serving
        bad = {number for number, weight in self.on_disk.items() if weight == BAD}
        assert model.outdated.keys() == bad & self.serving.keys()
        assert model.failures.keys() == bad - self.serving.keys()
        assert model.default_version == self.default_at
        assert model.config.aliases == self.alias_at
        assert model.unloaded == {}

    @invariant()
    def has_come_to_rest(self) -> None:
        models: Any = self.registry.models
        self.runner.run(self.registry.refresh())
        assert self.registry.models is models


StoreOverTime.TestCase.settings = settings(max_examples=15, stateful_step_count=12)
TestStoreOverTime = StoreOverTime.TestCase
