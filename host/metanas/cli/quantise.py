"""`metanas quantise`: int8 beside float32 on a device, kept only if it wins."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from metanas.cli import options as o
from metanas.cli.shell import print_json, say

if TYPE_CHECKING:
    from metanas.deploy import Int8Trial, Side

_BUDGET_MS = 100
_FEWEST_TASKS = 6


def quantise(
    run: o.Run,
    *,
    device: Annotated[str, typer.Option(help="Device to try both files on.")],
    name: o.Trained = "found",
    episodes: Annotated[
        int, typer.Option(min=_FEWEST_TASKS, help="Test tasks to adapt to, quantise and classify.")
    ] = 20,
    json: o.Json = False,
) -> None:
    """Quantise the network to int8, run both on the device, and keep int8 only if it wins.

    It wins if it is surely faster and surely costs at most one point of accuracy. The figures are
    in quantisation.json; a kept file is model.int8.onnx.
    """
    from metanas.cli import stages
    from metanas.devices import open_device
    from metanas.runs import RunFolder
    from metanas_agent.timer import TimerSettings

    folder = RunFolder.open(run)
    timer = TimerSettings(budget_ms=_BUDGET_MS)
    with closing(open_device(device, on_wait=say)) as opened:
        trial = stages.quantise_deployed(opened, folder, timer, name=name, tasks=episodes)
    if json:
        print_json(trial.to_dict())
        return
    say(_line("float32", trial.float32))
    say(_line("int8", trial.int8) + f"; {_figures(trial)}")
    if trial.kept:
        say(f"kept: {folder.int8_model}")
    for reason in trial.reasons:
        say(f"rejected: {reason}")


def _line(dtype: str, side: Side) -> str:
    accuracy = side.accuracy
    assert accuracy.interval is not None  # there are several tasks
    return (
        f"{dtype:<8}accuracy {accuracy.accuracy:.2%} ± {100 * accuracy.interval:.2f}, "
        f"latency {side.latency_ms:.4g} ms, file {side.size_bytes / 1e3:.1f} kB"
    )


def _figures(trial: Int8Trial) -> str:
    loss, speed_up = trial.loss, trial.speed_up
    text = (
        f"loses {100 * loss.value:.2f} points ({100 * loss.low:.2f} to {100 * loss.high:.2f}), "
        f"{speed_up.value:.2f} times as fast ({speed_up.low:.2f} to {speed_up.high:.2f}), "
        f"the same class for {trial.top1:.2%} of {trial.images} images"
    )
    if trial.predicted:
        text += f"; the table promised {trial.predicted.latency_ms:.4g} ms"
    return text
