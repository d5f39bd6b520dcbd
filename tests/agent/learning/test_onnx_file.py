from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from metanas_agent.errors import InvalidModelError
from metanas_agent.learning.onnx_file import with_weights
from metanas_agent.wire import Tensor

NAMES = st.text(min_size=1, max_size=20)


def tensor(values):
    return Tensor(values.astype("<f4").tobytes(), values.shape)


def make_model(weights, metadata=(), *, raw=True):
    inputs = [helper.make_tensor_value_info(name, 1, weights[name].shape) for name in weights]
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}'"]) for name in weights],
        "graph",
        [],
        inputs,
        [
            numpy_helper.from_array(values, name)
            if raw
            else helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.ravel())
            for name, values in weights.items()
        ],
    )
    model = helper.make_model(graph, producer_name="test")
    helper.set_model_props(model, dict(metadata))
    return model


@given(
    old=st.dictionaries(
        NAMES, st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4
    ),
    metadata=st.dictionaries(NAMES, st.text()),
    other=st.dictionaries(NAMES, st.text()),
    raw=st.booleans(),
    data=st.data(),
)
def test_all_is_replaced_that_is_named_and_nothing_else(old, metadata, other, raw, data):
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in old.items()}
    model = make_model(weights, metadata, raw=raw)
    chosen = data.draw(st.sets(st.sampled_from(sorted(old))))
    new = {name: rng.standard_normal(old[name], np.float32) for name in chosen}
    changed = onnx.load_model_from_string(
        with_weights(
            model.SerializeToString(),
            {name: tensor(values) for name, values in new.items()},
            other,
            where="model",
        )
    )
    assert {each.key: each.value for each in changed.metadata_props} == other
    stored = {each.name: numpy_helper.to_array(each) for each in changed.graph.initializer}
    assert list(stored) == list(weights)
    for name, values in stored.items():
        np.testing.assert_array_equal(values, new.get(name, weights[name]))
    for each in (model, changed):  # the rest is the same
        del each.metadata_props[:]
        del each.graph.initializer[:]
    assert changed == model


@given(data=st.data())
def test_bytes_that_are_no_model_are_one_clear_error(data):
    model = make_model({"w": np.ones((2, 3), np.float32)}).SerializeToString()
    broken = data.draw(
        st.binary(max_size=40)
        | st.integers(0, len(model) - 1).map(lambda end: model[:end])
        | st.tuples(st.integers(0, len(model) - 1), st.integers(1, 255)).map(
            lambda change: (
                model[: change[0]] + bytes([model[change[0]] ^ change[1]]) + model[change[0] + 1 :]
            )
        )
    )
    weights = {"w": tensor(np.zeros((2, 3), np.float32))}
    with suppress(InvalidModelError):  # and nothing else
        with_weights(broken, weights, {}, where="model")


def test_weights_that_the_model_has_not_or_of_another_shape():
    model = make_model({"w": np.ones((2, 3), np.float32)}).SerializeToString()
    for name, shape in (("v", (2, 3)), ("w", (3, 2)), ("w", (6,))):
        with pytest.raises(InvalidModelError, match=f"no weights '{name}' of shape"):
            with_weights(model, {name: tensor(np.zeros(shape))}, {}, where="model")
