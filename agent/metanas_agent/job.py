"""A job: one request that needs a worker, from its start to its last reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from metanas_agent.child import Worker
from metanas_agent.describing import describe
from metanas_agent.errors import MeasurementFailedError, ProtocolError, RuntimeUnavailableError
from metanas_agent.messages import Describe, Measure, Message, Row, RunModel


async def replies_to(
    request: Message, *, runtimes: Sequence[str], limit_s: float
) -> AsyncGenerator[Message, None]:
    """Everything to be answered to a request.

    Args:
        request: what the host asked.
        runtimes: those that this agent offers.
        limit_s: longest time for one layer or model beyond its timing budget.

    Raises:
        MetanasError: the job failed.
    """
    if isinstance(request, Describe):
        yield await describe(runtimes, limit_s=limit_s)
    elif isinstance(request, (Measure, RunModel)):
        if request.runtime not in runtimes:
            raise RuntimeUnavailableError(
                f"this agent does not offer the runtime {request.runtime!r}",
                hint=f"it offers {', '.join(runtimes)}",
            )
        async with aclosing(_replies_of_worker(request, limit_s)) as replies:
            async for reply in replies:
                yield reply
    else:
        raise ProtocolError(f"a {request.type} message is not a request")


async def _replies_of_worker(
    request: Measure | RunModel, limit_s: float
) -> AsyncGenerator[Message, None]:
    """One worker does the whole job; it is gone before the last reply says that the job is over.

    Each reply has a time limit of its own.
    """
    # A throttled row is measured twice, and min_samples may outlast the budget within limit_s.
    reply_limit_s = limit_s + 2 * request.settings.budget_ms / 1e3
    subjects = [layer.key for layer in request.layers] if isinstance(request, Measure) else []
    rows = 0
    try:
        async with Worker() as worker:
            await worker.send(request)
            while isinstance(reply := await worker.receive(limit_s=reply_limit_s), Row):
                yield reply
                rows += 1
    except MeasurementFailedError as error:
        subject = subjects[rows] if rows < len(subjects) else "the model"
        raise MeasurementFailedError(f"{subject}: {error.what}", hint=error.hint) from error
    yield reply
