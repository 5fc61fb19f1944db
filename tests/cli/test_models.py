"""``foretell models``: what is in a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.models import (
    digest_of,
    linear_model_bytes,
    make_manifest,
    write_model_toml,
    write_version,
)

MODEL = linear_model_bytes()


def table(text: str) -> list[list[str]]:
    """The cells of a printed table; at least two blanks stand between columns."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


@pytest.fixture
def filled(store: Path) -> Path:
    """A store with a model of two versions and aliases, a bare one, a disabled one and a broken one."""
    write_version(store, "churn", 1, MODEL, make_manifest(MODEL, description="größer"))
    write_version(store, "churn", 2, MODEL)
    write_model_toml(store, "churn", 'default = "champion"\n[aliases]\nnext = 2\nchampion = 1\n')
    write_version(store, "bare", 3, MODEL, manifest=False)
    write_version(store, "off", 1, MODEL)
    write_model_toml(store, "off", "enabled = false\ndefault = 1")
    return store


def test_the_list_shows_versions_default_and_aliases(run: Run, filled: Path) -> None:
    code, out, err = run("models", "list", "--store", filled)
    assert (code, err) == (0, "")
    assert table(out) == [
        ["model", "versions", "default", "aliases", "note"],
        ["bare", "3", "3"],
        ["churn", "1, 2", "1", "champion → 1, next → 2"],
        ["off", "1", "1", "disabled"],
    ]


def test_a_broken_model_toml_is_listed_with_its_reason(run: Run, filled: Path) -> None:
    path = write_model_toml(filled, "bare", "enabeld = true")
    code, out, _ = run("models", "list", "--store", filled)
    assert code == 0
    assert table(out)[1] == [
        "bare",
        "3",
        "?",
        f"{path}: Object contains unknown field `enabeld`; did you mean 'enabled'?",
    ]


def test_a_broken_model_toml_leaves_open_what_answers_by_default(run: Run, filled: Path) -> None:
    write_model_toml(filled, "churn", 'default = "champion"\n[batching]\nmode = "sometimes"\n')
    _, out, _ = run("models", "list", "--store", filled)
    assert table(out)[2][:3] == ["churn", "1, 2", "?"]
    code, _, err = run("models", "show", "churn", "--store", filled)
    assert code == 2
    assert "name a version: its model.toml cannot be read" in err


@pytest.mark.parametrize("command", ["list", "verify"])
def test_an_empty_store_says_how_to_publish(run: Run, store: Path, command: str) -> None:
    code, out, _ = run("models", command, "--store", store)
    assert code == 0
    assert "there are no models" in out
    assert "foretell publish" in out


def test_what_is_plainly_wrong_is_noted(run: Run, filled: Path) -> None:
    (filled / "churn" / "3").mkdir()
    write_model_toml(filled, "churn", "[aliases]\ngone = 9\n")
    out = run("models", "list", "--store", filled).out
    assert "3 (broken)" in out
    assert "version 3: its folder is empty; the alias gone points at version 9, which is absent" in out
    assert "run `foretell models verify`" in out
    ran = run("models", "verify", "churn", "--store", filled)
    assert ran.code == 1
    assert "FAILED: the alias gone points at it" in ran.out


def test_the_store_is_a_setting_too(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("models", "list") == run("models", "list", "--store", filled)
    monkeypatch.setenv("FORETELL_STORE__PATH", "nowhere")
    assert run("models", "list").code == 1
    assert run("models", "list", "--store", filled).code == 0


# ------------------------------------------------------------------ show


def test_the_manifest_of_the_default_version_is_shown(run: Run, filled: Path) -> None:
    code, out, _ = run("models", "show", "churn", "--store", filled)
    heading, _, rest = out.partition("\n")
    assert (code, heading) == (0, "churn version 1")
    assert json.loads(rest)["description"] == "größer"


def test_the_manifest_of_a_named_version_is_shown(run: Run, filled: Path) -> None:
    out = run("models", "show", "churn", "2", "--store", filled).out
    assert out.startswith("churn version 2\n")
    assert "description" not in out


def test_a_bare_model_is_shown_by_its_digest(run: Run, filled: Path) -> None:
    digest = digest_of(MODEL)
    assert run("models", "show", "bare", "--store", filled).out == (
        f"bare version 3\nno manifest; model.onnx: {digest.size_bytes} bytes, SHA-256 {digest.sha256}\n"
    )


@pytest.mark.parametrize("as_folder", [False, True], ids=["empty", "a folder where the model file should be"])
def test_a_version_without_a_model_file_says_so(run: Run, store: Path, as_folder: bool) -> None:
    (store / "m" / "1").mkdir(parents=True)
    if as_folder:
        (store / "m" / "1" / "model.onnx").mkdir()
    code, out, _ = run("models", "show", "m", "--store", store)
    assert code == 1
    assert out.startswith("m version 1\nCANNOT BE SERVED: ")
    assert out.endswith("no manifest; model.onnx: absent\n")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["iris"], "there is no model 'iris' in '{store}'; it holds: bare, churn, off"),
        (["../churn"], "there is no model '../churn' in '{store}'; it holds: bare, churn, off"),
        (["churn", "9"], "churn has no version 9; it has: 1, 2"),
    ],
    ids=["model", "path", "version"],
)
def test_what_is_not_there_is_named_with_what_is(
    run: Run, filled: Path, arguments: list[str], wanted: str
) -> None:
    code, out, err = run("models", "show", *arguments, "--store", filled)
    assert (code, out) == (1, "")
    assert err == f"foretell: {wanted.format(store=filled)}\n"


def test_a_default_that_is_not_there_is_an_error(run: Run, filled: Path) -> None:
    write_model_toml(filled, "bare", "default = 7")
    assert (
        run("models", "show", "bare", "--store", filled).err == "foretell: bare has no version 7; it has: 3\n"
    )


def test_a_model_without_versions_has_none_to_show(run: Run, store: Path) -> None:
    write_model_toml(store, "m", "")
    code, _, err = run("models", "show", "m", "--store", store)
    assert code == 1
    assert "it has: none" in err


def test_a_broken_manifest_is_an_error(run: Run, filled: Path) -> None:
    (filled / "churn" / "1" / "manifest.json").write_text("{}")
    code, _, err = run("models", "show", "churn", "--store", filled)
    assert code == 1
    assert "manifest.json is not a manifest" in err


# ------------------------------------------------------------------ alias


def test_an_alias_is_set_moved_and_removed(run: Run, filled: Path) -> None:
    path = filled / "churn" / "model.toml"
    assert run("models", "alias", "churn", "canary", "1", "--store", filled) == (0, "churn: canary → 1\n", "")
    assert run("models", "alias", "churn", "canary", "2", "--store", filled).out == "churn: canary → 2\n"
    assert "canary = 2" in path.read_text()
    assert (
        run("models", "alias", "churn", "canary", "--remove", "--store", filled).out
        == "churn: canary removed\n"
    )
    assert "canary" not in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "wanted"),
    [
        (["churn", "canary"], 2, "name a version, or --remove the alias"),
        (["churn", "canary", "1", "--remove"], 2, "name a version, or --remove the alias"),
        (["churn", "canary", "9"], 1, "churn has no version 9"),
        (["churn", "canary", "--remove"], 1, "churn has no alias 'canary'"),
        (["churn", "7", "1"], 1, "'7' cannot be an alias"),
        (["churn", "champion", "--remove"], 1, "`default` names the alias 'champion'"),
        (["iris", "canary", "1"], 1, "there is no model 'iris'"),
    ],
    ids=["neither", "both", "no version", "no alias", "a number", "the default", "no model"],
)
def test_an_alias_that_cannot_be_is_refused(
    run: Run, filled: Path, arguments: list[str], code: int, wanted: str
) -> None:
    before = (filled / "churn" / "model.toml").read_bytes()
    ran = run("models", "alias", *arguments, "--store", filled)
    assert (ran.code, ran.out) == (code, "")
    assert wanted in ran.err
    assert (filled / "churn" / "model.toml").read_bytes() == before


# ------------------------------------------------------------------ verify


def test_versions_that_can_be_served_are_ok(run: Run, filled: Path) -> None:
    code, out, err = run("models", "verify", "--store", filled)
    assert (code, err) == (0, "")
    assert table(out) == [
        ["model", "version", "result"],
        ["bare", "3", "ok, without a manifest"],
        ["churn", "1", "ok"],
        ["churn", "2", "ok"],
        ["off", "1", "ok"],
    ]


def test_a_damaged_version_fails_with_its_reason_and_the_others_are_checked(run: Run, filled: Path) -> None:
    (filled / "churn" / "1" / "model.onnx").write_bytes(linear_model_bytes(bias=1))
    code, out, _ = run("models", "verify", "--store", filled)
    rows = table(out)
    assert code == 1
    assert rows[2][2].startswith("FAILED: ")
    assert "is not the file that was published" in rows[2][2]
    assert rows[3] == ["churn", "2", "ok"]


def test_a_broken_model_toml_fails_too(run: Run, filled: Path) -> None:
    write_model_toml(filled, "off", "x = 1")
    code, out, _ = run("models", "verify", "off", "--store", filled)
    assert code == 1
    assert "FAILED: " in out
    assert "unknown field `x`" in out


def test_only_the_named_models_are_checked(run: Run, filled: Path) -> None:
    (filled / "churn" / "1" / "model.onnx").write_bytes(b"")
    code, out, _ = run("models", "verify", "off", "bare", "--store", filled)
    assert code == 0
    assert [row[0] for row in table(out)] == ["model", "off", "bare"]


def test_a_model_that_is_not_there_cannot_be_checked(run: Run, filled: Path) -> None:
    code, _, err = run("models", "verify", "iris", "--store", filled)
    assert code == 1
    assert "there is no model 'iris'" in err


# ------------------------------------------------------------------ default and rollback


def test_the_default_is_set_and_removed(run: Run, filled: Path) -> None:
    assert run("models", "default", "churn", "2", "--store", filled).out == "churn: default → 2\n"
    assert table(run("models", "list", "--store", filled).out)[2][2] == "2"
    assert (
        run("models", "default", "churn", "champion", "--store", filled).out == "churn: default → champion\n"
    )
    removed = run("models", "default", "churn", "--remove", "--store", filled)
    assert removed.out == "churn: the highest version answers by default\n"
    assert table(run("models", "list", "--store", filled).out)[2][2] == "2"


@pytest.mark.parametrize("more", [[], ["1", "--remove"]], ids=["neither", "both"])
def test_a_default_is_either_set_or_removed(run: Run, filled: Path, more: list[str]) -> None:
    ran = run("models", "default", "churn", *more, "--store", filled)
    assert ran.code == 2
    assert "name a version or an alias, or --remove the default" in ran.err


def test_a_default_that_is_not_there_is_refused(run: Run, filled: Path) -> None:
    ran = run("models", "default", "churn", "9", "--store", filled)
    assert (ran.code, ran.err) == (1, "foretell: churn has no version 9; it has: 1, 2\n")


def test_the_alias_that_answers_is_rolled_back(run: Run, filled: Path) -> None:
    run("models", "alias", "churn", "champion", "2", "--store", filled)
    assert run("models", "rollback", "churn", "--store", filled).out == "churn: champion → 1 (was 2)\n"
    ran = run("models", "rollback", "churn", "--store", filled)
    assert (ran.code, ran.out) == (1, "")
    assert "names version 1, and there is none before it" in ran.err
    ran = run("models", "rollback", "churn", "--alias", "next", "--store", filled)
    assert ran.out == "churn: next → 1 (was 2)\n"


def test_a_rollback_says_what_it_passes_over_and_that_it_stays(run: Run, filled: Path) -> None:
    for number in (1, 2):
        write_version(filled, "bare", number, MODEL)
    (filled / "bare" / "2" / "model.onnx").unlink()
    assert run("models", "rollback", "bare", "--store", filled).out == (
        "bare: default → 1 (was 3)\n"
        "passed over version 2: model.onnx is absent or not a regular file\n"
        "version 1 answers by default from now on, whatever is published; "
        "`foretell models default bare --remove` lets the highest answer again\n"
    )


def test_an_edit_through_a_link_says_which_file_it_has_changed(
    run: Run, filled: Path, tmp_path: Path
) -> None:
    path = filled / "churn" / "model.toml"
    path.rename(tmp_path / "churn.toml")
    path.symlink_to(tmp_path / "churn.toml")
    told = f"model.toml is a link: {tmp_path / 'churn.toml'} has changed\n"
    assert run("models", "alias", "churn", "champion", "2", "--store", filled).out == (
        f"churn: champion → 2\n{told}"
    )
    assert run("models", "rollback", "churn", "--store", filled).out == f"churn: champion → 1 (was 2)\n{told}"
    assert run("models", "default", "churn", "2", "--store", filled).out == f"churn: default → 2\n{told}"
    assert "default = 2" in (tmp_path / "churn.toml").read_text()
