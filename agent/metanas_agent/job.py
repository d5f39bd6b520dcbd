"""A job: one request that needs the device, from its start to its last reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from metanas_agent.artifacts import ArtifactStore
from metanas_agent.child import Worker
from metanas_agent.describing import describe
from metanas_agent.doctor import examine
from metanas_agent.errors import (
    ArtifactError,
    MeasurementFailedError,
    ProtocolError,
    RuntimeUnavailableError,
    UntrustedError,
)
from metanas_agent.message import Message
from metanas_agent.messages import (
    Chunk,
    Describe,
    Examine,
    Findings,
    Measure,
    Offer,
    Row,
    RunModel,
    Stored,
)
from metanas_agent.runtimes import PROGRAM_RUNTIMES


@dataclass(frozen=True, slots=True)
class Workshop:
    """What an agent has to do jobs with.

    Args:
        runtimes: those that it offers.
        accelerator: what runtimes that know several shall use.
        limit_s: longest time for one layer or model beyond its timing budget.
        artifacts: uploaded programs.
        device_id: of a paired device, else empty.
        name: of a paired device, else empty.
    """

    runtimes: tuple[str, ...]
    accelerator: str
    limit_s: float
    artifacts: ArtifactStore
    device_id: str = ""
    name: str = ""


async def replies_to(
    request: Message, workshop: Workshop, *, trusted: bool
) -> AsyncGenerator[Message, None]:
    """Everything to be answered to a request.

    Args:
        request: what the host asked.
        workshop: what to do it with.
        trusted: whether the host may bring programs and have them run.

    Raises:
        MetanasError: the job failed.
    """
    if isinstance(request, (Offer, Chunk)) or _needs_program(request):
        _check_trusted(trusted)
    if isinstance(request, Describe):
        description = await describe(
            workshop.runtimes, accelerator=workshop.accelerator, limit_s=workshop.limit_s
        )
        yield replace(description, device_id=workshop.device_id, name=workshop.name)
    elif isinstance(request, Examine):
        yield Findings(findings=await asyncio.to_thread(examine))
    elif isinstance(request, (Offer, Chunk)):
        yield await asyncio.to_thread(_store, request, workshop.artifacts)
    elif isinstance(request, (Measure, RunModel)):
        if request.runtime not in workshop.runtimes:
            raise RuntimeUnavailableError(
                f"this agent does not offer the runtime {request.runtime!r}",
                hint=f"it offers {', '.join(workshop.runtimes)}",
            )
        if request.runtime in PROGRAM_RUNTIMES and not request.artifact:
            raise ArtifactError(
                f"the runtime {request.runtime} needs a program", hint="upload one, and name it"
            )
        async with aclosing(_replies_of_worker(request, workshop)) as replies:
            async for reply in replies:
                yield reply
    else:
        raise ProtocolError(f"a {request.type} message is not a request")


def _needs_program(request: Message) -> bool:
    return isinstance(request, (Measure, RunModel)) and bool(
        request.artifact or request.runtime in PROGRAM_RUNTIMES
    )


def _check_trusted(trusted: bool) -> None:
    if not trusted:
        raise UntrustedError(
            "this host is not paired with this device, so it may not bring or run programs",
            hint="pair first: metanas-profile pair USER@BOARD",
        )


def _store(request: Offer | Chunk, artifacts: ArtifactStore) -> Stored:
    if isinstance(request, Offer):
        received = artifacts.offer(request.sha256, request.size_bytes)
    else:
        received = artifacts.add(request.sha256, request.offset, request.data)
    return Stored(sha256=request.sha256, received_bytes=received)


async def _replies_of_worker(
    request: Measure | RunModel, workshop: Workshop
) -> AsyncGenerator[Message, None]:
    """One worker does the whole job; it is gone before the last reply says that the job is over.

    Each reply has a time limit of its own.
    """
    # A throttled row is measured twice, and min_samples may outlast the budget within limit_s.
    reply_limit_s = workshop.limit_s + 2 * request.settings.budget_ms / 1e3
    subjects = [layer.key for layer in request.layers] if isinstance(request, Measure) else []
    rows = 0
    try:
        async with Worker(
            accelerator=workshop.accelerator, artifact=_program(request, workshop.artifacts)
        ) as worker:
            await worker.send(request)
            while isinstance(reply := await worker.receive(limit_s=reply_limit_s), Row):
                yield reply
                rows += 1
    except MeasurementFailedError as error:
        subject = subjects[rows] if rows < len(subjects) else "the model"
        raise MeasurementFailedError(f"{subject}: {error.what}", hint=error.hint) from error
    yield reply


def _program(request: Measure | RunModel, artifacts: ArtifactStore) -> Path | None:
    return artifacts.path(request.artifact) if request.artifact else None
