"""``foretell publish``: from a file with a trained estimator to a version of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from foretell.cli.options import store_option, utf8_text
from foretell.cli.progress import progress

if TYPE_CHECKING:
    from foretell.signature import Enforcement

__all__ = ["publish"]


@click.command()
@click.argument("estimator", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--name", required=True, help="The model's name.")
@click.option(
    "--sample",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows such as the estimator was trained on, without the target: .csv, .parquet or .json.",
)
@store_option
@click.option(
    "--description", default="", callback=utf8_text, help="What readers of the catalogue should know."
)
@click.option(
    "--enforce", default="", metavar="LIST", help="ranges,categories: refuse what the sample does not show."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="The greatest difference that counts as equal: of probabilities, or as a part of the spread of numbers.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "float64"]),
    default="auto",
    show_default=True,
    help="What the ONNX form computes in; auto takes float32 if it proves equal, else float64.",
)
@click.option(
    "--allow-mismatch", is_flag=True, help="Publish although the answers differ; the manifest records it."
)
@click.option(
    "--trust-pickle",
    is_flag=True,
    help="Load a .joblib or .pickle file. THIS EXECUTES CODE that is in the file: only for files that you made.",
)
@click.option(
    "--trusted", multiple=True, metavar="TYPE", help="A type that a .skops file may hold; may be repeated."
)
def publish(
    estimator: Path,
    name: str,
    sample: Path,
    store: Path,
    enforce: str,
    trust_pickle: bool,
    trusted: tuple[str, ...],
    **options: Any,
) -> None:
    """Convert a trained scikit-learn estimator to ONNX, prove that it answers as before, and add it to a store.

    FILE is a .skops file, or a .joblib or .pickle file with --trust-pickle.

    \b
    Examples:
      foretell publish churn.skops --name churn --sample rows.csv
      foretell publish churn.joblib --trust-pickle --name churn --sample rows.csv --enforce ranges,categories
    """  # noqa: D301 - click wants the control character, not its name
    from foretell.convert import load_estimator, load_sample
    from foretell.publishing import publish as publish_estimator

    enforced = [word.strip() for word in enforce.split(",") if word.strip()]
    unknown = sorted({*enforced} - {"ranges", "categories"})
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is not one of ranges, categories", param_hint="--enforce")
    with progress() as on_progress:
        published = publish_estimator(
            load_estimator(estimator, trust_pickle=trust_pickle, trusted=trusted),
            load_sample(sample),
            name=name,
            store=store,
            enforce=cast("list[Enforcement]", enforced),
            on_progress=on_progress,
            **options,
        )
    click.echo(f"published {published}\n{published.folder}")
    click.echo("a server that is running picks it up")
