"""DeviceProfile: what a device's TOML file says of how to reach it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metanas.address import Address
from metanas.errors import DeviceProfileError
from metanas_agent.runtimes import ACCELERATORS


@dataclass(frozen=True, slots=True)
class LocalProfile:
    """`kind = "local"`: this machine, through an agent that is started for the purpose.

    Args:
        description: for people.
        runtime: the agent's runtime that shall do the work.
        accelerator: what a runtime that knows several shall use: `cpu` or `cuda`.
        target: what programs for `runtime = "native"` are built for, empty if there are none.
    """

    description: str
    runtime: str = "onnx"
    accelerator: str = "cpu"
    target: str = ""


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """`kind = "agent"`: a machine where an agent runs already."""

    description: str
    address: Address
    runtime: str = "onnx"


@dataclass(frozen=True, slots=True)
class SimulatorProfile:
    """`kind = "simulator"`: a computed device; `settings` are the simulator's own fields."""

    description: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BoardProfile:
    """`kind = "board"`: what all boards of a kind have in common; pairing says where one is.

    Args:
        description: for people.
        cpu: the processor, as compilers name it.
        abis: machine names that such a board gives itself, such as `armv6l`.
        models: how the model in its device tree begins, none if that does not matter.
        runtime: the agent's runtime that shall do the work.
        target: what programs for `runtime = "native"` are built for, empty if there are none.
        accelerator: what a runtime that knows several shall use: `cpu` or `cuda`.
    """

    description: str
    cpu: str
    abis: tuple[str, ...]
    models: tuple[str, ...] = ()
    runtime: str = "onnx"
    target: str = ""
    accelerator: str = "cpu"


DeviceProfile = LocalProfile | AgentProfile | SimulatorProfile | BoardProfile


def read_profile(path: Path) -> DeviceProfile:
    """Read a device's file.

    Every file has `kind` and may have `description`. `local`, `agent` and `board` may have
    `runtime`, `local` and `board` may have `accelerator` and `target`. `agent` must have `address`
    ("HOST:PORT"). `board` must have `cpu` and `abis`, and may have `models`. `simulator` must have
    `backend` and may have any further field, which that backend judges.

    Raises:
        DeviceProfileError: the file cannot be read or makes no sense.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeviceProfileError(f"{path}: {error}", hint="mend or remove the file") from error
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in _READERS:
        raise DeviceProfileError(
            f"{path}: kind is {kind!r}", hint=f"use one of {', '.join(_READERS)}"
        )
    return _READERS[kind](path, values)


def _local(path: Path, values: dict[str, Any]) -> LocalProfile:
    _check_texts(path, values, allowed=("accelerator", "description", "runtime", "target"))
    _check_work(path, values)
    return LocalProfile(**{"description": "", **values})


def _agent(path: Path, values: dict[str, Any]) -> AgentProfile:
    _check_texts(path, values, allowed=("address", "description", "runtime"))
    address = Address.parse(values.pop("address", ""))
    if address is None:
        raise DeviceProfileError(
            f"{path}: no agent's address", hint='write one like address = "127.0.0.1:7431"'
        )
    return AgentProfile(**{"description": "", **values}, address=address)


def _board(path: Path, values: dict[str, Any]) -> BoardProfile:
    lists = {name: _texts(path, name, values.pop(name, [])) for name in ("abis", "models")}
    texts = ("accelerator", "cpu", "description", "runtime", "target")
    _check_texts(path, values, allowed=(*texts, *lists))
    if not values.get("cpu") or not lists["abis"]:
        raise DeviceProfileError(
            f"{path}: a board needs cpu and abis",
            hint='write them like cpu = "cortex-a72" and abis = ["aarch64"]',
        )
    _check_work(path, values)
    return BoardProfile(**{"description": "", **values, **lists})


def _simulator(path: Path, values: dict[str, Any]) -> SimulatorProfile:
    description = values.pop("description", "")
    _check_texts(
        path,
        {"description": description, "backend": values.get("backend")},
        allowed=("backend", "description"),
    )
    return SimulatorProfile(description, settings=values)


_READERS: dict[str, Callable[[Path, dict[str, Any]], DeviceProfile]] = {
    "local": _local,
    "agent": _agent,
    "board": _board,
    "simulator": _simulator,
}


def _check_texts(path: Path, values: dict[str, Any], *, allowed: tuple[str, ...]) -> None:
    for name, value in values.items():
        if name not in allowed:
            raise DeviceProfileError(
                f"{path}: unknown field {name!r}", hint=f"use {', '.join(('kind', *allowed))}"
            )
        if not isinstance(value, str):
            raise DeviceProfileError(f"{path}: {name} is {value!r}", hint="write it as a text")


def _check_work(path: Path, values: dict[str, Any]) -> None:
    if values.get("runtime") == "native" and not values.get("target"):
        raise DeviceProfileError(
            f"{path}: the runtime native needs a target", hint='write one like target = "armv6"'
        )
    accelerator = values.get("accelerator", "cpu")
    if accelerator not in ACCELERATORS:
        raise DeviceProfileError(
            f"{path}: accelerator is {accelerator!r}", hint=f"use one of {', '.join(ACCELERATORS)}"
        )


def _texts(path: Path, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DeviceProfileError(
            f"{path}: {name} is {value!r}", hint=f'write it as a list of texts: {name} = ["..."]'
        )
    return tuple(value)
