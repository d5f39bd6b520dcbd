"""Options that several commands share, with the help a stranger reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from metanas.errors import InvalidSettingsError

Run = Annotated[Path, typer.Argument(help="Run folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LARGEST_SEED = 2**63 - 1
"""That PyTorch, NumPy and the agent take."""

Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of everything random.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that share the work.")]
Trained = Annotated[str, typer.Option(help="Which trained network: found, baseline, ...")]
Episodes = Annotated[int, typer.Option(min=2, help="Test episodes to evaluate on.")]

Data = Annotated[
    str, typer.Option(help="Data set: glyphs, omniglot, mini-imagenet, fc100 or folder.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of the data set's files; else METANAS_DATA, else the cache."),
]
ImageSize = Annotated[
    str, typer.Option(help="Height x width, such as 84x84, for --data folder; else its own.")
]
Grey = Annotated[bool, typer.Option("--grey", help="One channel, for --data folder.")]
Rotations = Annotated[
    Literal["none", "train", "all"] | None,
    typer.Option(
        help="Splits whose quarter turns are classes of their own; if not given, as results on "
        "the data set are published: train for omniglot, none for the others."
    ),
]
Ways = Annotated[int, typer.Option(min=2, help="Classes of a task.")]
Shots = Annotated[int, typer.Option(min=1, help="Support images of a class.")]
Queries = Annotated[int, typer.Option(min=1, help="Query images of a class when evaluating.")]
TrainQueries = Annotated[int, typer.Option(min=1, help="Query images of a class when training.")]

Space = Annotated[str, typer.Option(help="Search space.")]
Downsampling = Annotated[
    Literal["pooled", "strided"],
    typer.Option(help="How layers halve the map: convolution then max-pooling, or stride 2."),
]
Pool = Annotated[int, typer.Option(min=1, help="n of the n x n pooling before the classifier.")]
GlobalExpansion = Annotated[bool, typer.Option(help="Search the channels of every layer.")]
AdaptiveDepth = Annotated[bool, typer.Option(help="Search the number of layers.")]
QueryNorm = Annotated[
    Literal["transductive", "deployed"],
    typer.Option(
        help="Batch-norm statistics of query images in training: their own (as the papers), "
        "or the support set's (as on a board)."
    ),
]

Accelerator = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(help="What to compute on; cuda is one NVIDIA GPU, which one worker drives."),
]
Algorithm = Annotated[
    Literal["maml++", "maml", "fomaml", "reptile"],
    typer.Option(help="Meta-learning algorithm; fomaml is first-order MAML."),
]
Epochs = Annotated[int, typer.Option(min=1, help="Epochs of training.")]
Iterations = Annotated[int, typer.Option(min=1, help="Outer steps in an epoch.")]
Tasks = Annotated[int, typer.Option(min=1, help="Tasks in an outer step.")]
InnerSteps = Annotated[int, typer.Option(min=1, help="Gradient steps on a support set.")]
Rate = Annotated[float, typer.Option(min=0, help="Outer learning rate at the start.")]
InnerRate = Annotated[float, typer.Option(min=0, help="Inner learning rates at the start.")]
FirstOrderShare = Annotated[
    float | None,
    typer.Option(
        help="Share of the epochs, 0 to 1, before second derivatives are switched on; "
        "0.3 in maml++, none or all in the others."
    ),
]
MultiStepShare = Annotated[
    float | None,
    typer.Option(
        help="Share of the epochs, 0 to 1, over which the multi-step loss is annealed away; "
        "0.1 in maml++, 0 in the others."
    ),
]
Patience = Annotated[
    int, typer.Option(min=0, help="Epochs without better validation that end training; 0: none do.")
]

_SETTING = re.compile(r"^[a-z]+(?:_[a-z]+)*(?= is )|\b[a-z]+(?:_[a-z]+)+\b")


@contextmanager
def named_as_options() -> Iterator[None]:
    """A setting that makes no sense is told by the name of the option that sets it."""
    try:
        yield
    except InvalidSettingsError as error:
        raise InvalidSettingsError(_as_options(error.what), hint=_as_options(error.hint)) from error


def _as_options(text: str) -> str:
    """`inner_rate is 0` becomes `--inner-rate is 0`; words that are not said of settings stay."""
    return _SETTING.sub(lambda name: "--" + name[0].replace("_", "-"), text)


VALIDATION_TASKS = 100
"""By default, of a network that is trained by itself."""

_MOST_WORKERS = 4


def _default_workers() -> int:
    """One a core that this process may use, at most 4: more gain little on small networks."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, _MOST_WORKERS)


DEFAULT_WORKERS = _default_workers()
