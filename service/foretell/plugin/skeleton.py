"""A working plugin to begin with, and its test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Final

from foretell.errors import PluginError

__all__ = ["write_skeleton"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_PLUGIN: Final = '''"""{title}: counts predictions and says in a header of each answer how many there were."""

from __future__ import annotations

import msgspec

from foretell.plugin import ModelInfo, Plugin, Predict, PredictRequest, PredictResponse, Stage


class {title}Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set under [plugins.config.{name}].

    Attributes:
        header: The name of the header, in lower case.
    """

    header: str = "x-{dashed}"


class {title}(Plugin[{title}Config]):
    """Counts the predictions of each version."""

    stage = Stage.OBSERVE

    def wrap_predict(self, call_next: Predict, model: ModelInfo) -> Predict:
        header = self.config_for(model.name).header.encode()
        count = 0

        async def predict(request: PredictRequest) -> PredictResponse:
            nonlocal count
            response = await call_next(request)
            count += 1
            request.record.add_header(header, str(count).encode())
            return response

        return predict
'''

_TEST: Final = '''"""{title} keeps to the contract of plugins, and does what it is for."""

from pathlib import Path

from foretell.plugin.testing import PluginContract, load_plugin
from foretell.plugin.trial import MadeUpModel, Trial, ask, run

{title} = load_plugin(Path(__file__).parents[1] / "{name}.py")


class TestContract(PluginContract):
    plugin_type = {title}


def test_it_counts() -> None:
    trial = Trial({title})
    predict = trial.around(trial.make(), MadeUpModel())
    for count in (1, 2):
        request = ask(1, 2)
        run(predict(request))
        assert request.record.answer_headers == [(b"x-{dashed}", str(count).encode())]
'''


def write_skeleton(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a plugin and its test: ``<folder>/<name>.py`` and ``<folder>/tests/test_<name>.py``.

    Args:
        folder: The plugin folder; made if it is new.
        name: The plugin's name.

    Returns:
        The two files.

    Raises:
        PluginError: The name cannot be used, or one of the files is there already.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise PluginError(
            f"{name!r} cannot be a plugin's name: use lower-case letters, digits, _ and -, beginning with a letter"
        )
    words = {"name": name, "dashed": name.replace("_", "-"), "title": _title(name)}
    plugin, test = folder / f"{name}.py", folder / "tests" / f"test_{name.replace('-', '_')}.py"
    for path in (plugin, test):
        if path.exists():
            raise PluginError(f"{path} is there already; choose another name, or remove it")
    test.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text(_PLUGIN.format(**words), encoding="utf-8")
    test.write_text(_TEST.format(**words), encoding="utf-8")
    return plugin, test


def _title(name: str) -> str:
    """The name of the class. It ends with Plugin, which keeps it apart from keywords and from what is imported."""
    title = re.sub(r"[-_]", "", name.title())
    return title if title.endswith("Plugin") and title != "Plugin" else f"{title}Plugin"
