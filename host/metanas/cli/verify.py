"""`metanas verify`: the exported network on the device, against the host and what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metanas.cli import options as o
from metanas.cli.shell import print_json, say

if TYPE_CHECKING:
    from metanas.deploy import EpisodeAccuracy, Verification

_BUDGET_MS = 400


def verify(
    what: Annotated[Path, typer.Argument(help="Run folder, or an ONNX file.", metavar="RUN|MODEL")],
    *,
    device: Annotated[str, typer.Option(help="Device to run the network on.")],
    name: o.Trained = "found",
    episodes: Annotated[
        int,
        typer.Option(
            min=1, help="Of a run: test tasks to adapt to. Of a file: random images to classify."
        ),
    ] = 20,
    latency_tolerance: Annotated[
        float, typer.Option(min=0, max=100, help="Share that the measured latency may be off.")
    ] = 0.25,
    table: Annotated[
        str, typer.Option(help="Of a file: the table that says what latency to expect.")
    ] = "",
    images: Annotated[
        Path | None,
        typer.Option(
            help="Of a file: folder of pictures to classify instead; in class folders, accuracy "
            "is told too."
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Run the exported network on the device: outputs, accuracy, latency and memory.

    Writes verify.json into the run folder, or NAME.verify.json beside the file. Fails (exit code
    1) when the device computes something else than the host or breaks what the search promised.
    """
    from metanas.devices import open_device, runtime_of

    runtime_of(device)  # a simulator is refused before anything slow is done

    from metanas.cli import stages
    from metanas.deploy import write_verification
    from metanas.profiling import find_table, read_table
    from metanas.runs import RunFolder, verify_file
    from metanas_agent.timer import TimerSettings

    timer = TimerSettings(budget_ms=_BUDGET_MS)
    if what.is_file():
        known = read_table(find_table(table)) if table else None
        with closing(open_device(device, on_wait=say)) as opened:
            result = verify_file(
                opened,
                what,
                timer,
                table=known,
                pictures=images,
                count=episodes,
                latency_tolerance=latency_tolerance,
            )
        write_verification(what.with_suffix(".verify.json"), result)
    else:
        if table or images:
            raise typer.BadParameter("a run has its own", param_hint="--table or --images")
        folder = RunFolder.open(what)
        known = read_table(folder.table(device)) if device in folder.tables else None
        if known is None:
            say(f"{what} has no table of {device}: no latency was promised there")
        with closing(open_device(device, on_wait=say)) as opened:
            result = stages.verify_deployed(
                opened,
                folder,
                known,
                timer,
                name=name,
                episodes=episodes,
                latency_tolerance=latency_tolerance,
            )
    if json:
        print_json(result.to_dict())
    else:
        for line in _lines(result):
            say(line)
    if not result.passed:
        raise typer.Exit(1)


def _lines(result: Verification) -> Iterator[str]:
    verdict = "pass" if result.passed else "FAIL"
    yield f"verdict  {verdict}: {result.network.name} on {result.device}"
    agreement = result.agreement
    yield (
        f"outputs  {'pass' if agreement.within else 'FAIL'}: off by {agreement.largest_share:.1e} "
        f"of the logits' range at most, 99.9% by {agreement.p999_share:.1e} (allowed "
        f"{agreement.tolerance:.1e} and {agreement.p999_tolerance:.1e} behind "
        f"{result.network.depth} {result.network.dtype} layers); top-1 the same on "
        f"{agreement.top1:.2%} of {agreement.images} images"
    )
    if result.device_accuracy and result.host_accuracy:
        yield (
            f"accuracy {_percent(result.device_accuracy)} on the device, "
            f"{_percent(result.host_accuracy)} on the host"
        )
    yield f"latency  {_latency(result)}"
    if result.memory:
        yield f"memory   {_memory(result)}"
    yield from (f"failed: {reason}" for reason in result.reasons)
    yield from (f"note: {remark}" for remark in result.remarks)


def _percent(value: EpisodeAccuracy) -> str:
    if value.interval is None:
        return f"{value.accuracy:.2%}"
    return f"{value.accuracy:.2%} ± {value.interval * 100:.2f} ({value.episodes} episodes)"


def _latency(result: Verification) -> str:
    taken = result.measured
    text = (
        f"{result.latency_verdict}: {taken.median_ms:.4g} ms (95%: {taken.low_ms:.4g} to "
        f"{taken.high_ms:.4g}; 10th to 90th percentile {taken.p10_ms:.4g} to {taken.p90_ms:.4g})"
    )
    if len(result.medians_ms) > 1:
        text += f", medians {min(result.medians_ms):.4g} to {max(result.medians_ms):.4g}"
    if result.predicted:
        text += f"; predicted {result.predicted.latency_ms:.4g} ms, ratio {result.ratio:.2f}"
    return text + (f", device now / then {result.slowdown:.2f}" if result.slowdown else "")


def _memory(result: Verification) -> str:
    assert result.memory
    own, promised = result.memory.network_bytes, result.predicted and result.predicted.memory_bytes
    text = f"{result.memory_verdict}: the process took {_megabytes(result.memory.process_bytes)}"
    if own is not None:
        text += f", {_megabytes(own)} of it for the network"
    return text + (f"; promised {_megabytes(promised)}" if promised else "")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f} MB"
