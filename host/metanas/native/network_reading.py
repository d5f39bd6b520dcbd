"""Read what a lowered module calls: from TVM's `main` to a `NetworkProgram`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import relax

from metanas.errors import NativeBuildError
from metanas.native.network_program import KernelCall, NetworkProgram, Tensor

_HINT = "this network needs a runtime such as ONNX Runtime: run it on a board that has one"


def read_program(module: Any) -> NetworkProgram:
    """Read the calls of a lowered module's `main`.

    Raises:
        NativeBuildError: it holds an operator that is no kernel, or a size that is not known, or
            its output is not one float32 tensor.
    """
    main = module["main"]
    reader = _Reader()
    (parameter,) = main.params
    (source,) = reader.define(parameter, parameter.ty)
    for block in main.body.blocks:
        for binding in block.bindings:
            reader.bind(binding)
    (result,) = reader.resolve(main.body.body)
    if (dtype := reader.tensors[result].dtype) != "float32":
        raise NativeBuildError(
            f"the network's output is {dtype}", hint="give a network whose output is float32"
        )
    return NetworkProgram(tuple(reader.tensors), tuple(reader.calls), source, result)


class _Reader:
    """Walks the bindings of `main`, remembering the tensors that each variable stands for."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.calls: list[KernelCall] = []
        self._variables: dict[Any, tuple[int, ...]] = {}

    def bind(self, binding: Any) -> None:
        value = getattr(binding, "value", None)  # a match of shapes has none
        if isinstance(value, relax.Call):
            self._call(binding.var, value)
        else:
            self._variables[binding.var] = self.resolve(value)

    def define(self, variable: Any, type_: Any) -> tuple[int, ...]:
        """New tensors for a variable: one, or several where it is a tuple."""
        fields = type_.fields if isinstance(type_, relax.TupleType) else [type_]
        indices = tuple(self._add(Tensor(_shape(field), str(field.dtype))) for field in fields)
        self._variables[variable] = indices
        return indices

    def resolve(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, tvm.ir.GenericConst):
            data = value.value.numpy()
            return (self._add(Tensor(data.shape, str(data.dtype), data)),)
        if isinstance(value, relax.Var):
            return self._variables[value]
        if isinstance(value, relax.Tuple):
            return self._all(value.fields)
        if isinstance(value, relax.TupleGetItem):
            return (self.resolve(value.tuple_value)[value.index],)
        raise _unsupported(type(value).__name__)

    def _call(self, variable: Any, call: Any) -> None:
        if getattr(call.op, "name", None) != "relax.call_tir" or len(call.args) != 2:
            raise _unsupported(_name(call))
        kernel, arguments = call.args
        inputs = self._all(arguments.fields)
        outputs = self.define(variable, call.ty_args[0])
        self.calls.append(KernelCall(kernel.name_hint, inputs, outputs))

    def _all(self, values: Sequence[Any]) -> tuple[int, ...]:
        return tuple(index for value in values for index in self.resolve(value))

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def _name(call: Any) -> str:
    """What a call that is no kernel's calls: an operator, or a function of TVM's own run-time."""
    name = str(getattr(call.op, "name", call.op)).removeprefix("relax.")
    return str(call.args[0].global_symbol) if name.endswith("_packed") else name


def _shape(type_: Any) -> tuple[int, ...]:
    try:
        return tuple(int(extent) for extent in type_.shape)
    except TypeError as error:
        raise NativeBuildError(
            "a tensor's shape depends on the values in the network", hint=_HINT
        ) from error


def _unsupported(operator: str) -> NativeBuildError:
    return NativeBuildError(
        f"the network has an operator that is no kernel: {operator}",
        hint=_HINT,
    )
