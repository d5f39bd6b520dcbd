from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.errors import InvalidLayerError
from metanas_agent.layers import (
    ACTIVATIONS,
    DTYPES,
    OPERATIONS,
    AddLayer,
    ConcatLayer,
    ConvLayer,
    EmptyLayer,
    HeadLayer,
    OperationLayer,
    dtypes_of,
    parse_layer,
)

sizes = st.integers(1, 4096)
dtypes = st.sampled_from(DTYPES)
convs = st.builds(
    ConvLayer,
    sizes,
    sizes,
    sizes,
    out_channels=sizes,
    kernel=st.integers(0, 7).map(lambda n: 2 * n + 1),
    stride=st.integers(1, 4),
    activation=st.sampled_from((*ACTIVATIONS, "none")),
    pool=st.integers(1, 4),
    dtype=dtypes,
)
adds = st.builds(
    AddLayer,
    sizes,
    sizes,
    sizes,
    activation=st.sampled_from((*ACTIVATIONS, "none")),
    pool=st.integers(1, 4),
    dtype=dtypes,
)
heads = st.integers(1, 64).flatmap(
    lambda pool: st.builds(
        HeadLayer,
        sizes,
        st.integers(pool, 4096),
        st.integers(pool, 4096),
        pool=st.just(pool),
        ways=sizes,
        dtype=dtypes,
    )
)
operations = st.one_of(
    sizes.flatmap(
        lambda channels: st.builds(
            OperationLayer,
            st.just(channels),
            sizes,
            sizes,
            out_channels=st.just(channels),
            operation=st.sampled_from(sorted(set(OPERATIONS) - {"halves1x1"})),
            stride=st.integers(1, 2),
        )
    ),
    st.builds(
        OperationLayer,
        sizes,
        sizes,
        sizes,
        out_channels=st.integers(2, 4096),
        operation=st.just("halves1x1"),
        stride=st.just(2),
    ),
)
concats = st.builds(ConcatLayer, sizes, sizes, sizes, maps=st.integers(2, 16))
empties = st.builds(EmptyLayer, sizes, sizes, sizes)
layers = convs | adds | heads | operations | concats | empties


@given(layers)
def test_a_layer_is_its_key(layer):
    assert parse_layer(layer.key) == layer
    assert hash(parse_layer(layer.key)) == hash(layer)
    assert str(layer) == layer.key
    assert layer.key.isascii()
    assert layer.key.isprintable()


@given(layers, layers)
def test_different_layers_have_different_keys(one, other):
    assert (one == other) == (one.key == other.key)


@given(st.text())
def test_any_text_is_a_layer_or_refused(text):
    with suppress(InvalidLayerError):
        assert parse_layer(text).key == text


@given(layers, st.data())
def test_an_edited_key_is_another_layer_or_refused(layer, data):
    at = data.draw(st.integers(0, len(layer.key) - 1))
    edited = layer.key[:at] + data.draw(st.characters(max_codepoint=0x300)) + layer.key[at + 1 :]
    with suppress(InvalidLayerError):
        assert parse_layer(edited).key == edited


@pytest.mark.parametrize(
    "key",
    [
        "",
        "conv",
        "conv/1x28x28",
        "conv/1x28x28/c64/k3/s1/relu/p2",  # no dtype
        "conv/1x28x28/c64/k3/s1/relu/p2/float32/",
        " conv/1x28x28/c64/k3/s1/relu/p2/float32",
        "conv/1x28x28/c64/k3/s1/relu/p2/float32\n",
        "conv/1x28x28/c064/k3/s1/relu/p2/float32",  # another text of the same layer
        "conv/1x28x28/c64/k2/s1/relu/p2/float32",  # even kernel
        "conv/0x28x28/c64/k3/s1/relu/p2/float32",
        "conv/1x28x28/c-4/k3/s1/relu/p2/float32",
        "conv/1x28x28/c64/k3/s1/tanh/p2/float32",
        "conv/1x28x28/c64/k3/s1/relu/p2/float16",
        "conv/1x28x28/c64/k3/s1/relu/p0/float32",
        "conv/1x28x28/c٣/k3/s1/relu/p2/float32",  # an Arabic digit
        "add/64x2x2/relu/float32",  # no pooling
        "add/64x2x2/tanh/p1/float32",
        "add/64x0x2/relu/p1/float32",
        "add/64x2x2/c64/relu/p1/float32",
        "head/64x2x2/n3/w5/float32",  # pools 2x2 to 3x3
        "head/64x2x2/n1/w0/float32",
        "empty/1x1",
        "operation/28x7x7/c28/conv7x7/s1/float32",
        "operation/28x7x7/c28/skip/s1/float32",  # which does nothing
        "operation/28x7x7/c14/conv3x3/s1/float32",  # other channels
        "operation/28x7x7/c28/halves1x1/s1/float32",
        "operation/28x7x7/c1/halves1x1/s2/float32",  # no halves
        "operation/28x7x7/c28/conv3x3/s3/float32",
        "operation/28x7x7/c28/conv3x3/s1/int8",
        "concat/28x7x7/n1/float32",
        "concat/28x7x7/n3/int8",
        "dense/1x1x1",
        "conv/" + "9" * 10_000 + "x28x28/c64/k3/s1/relu/p2/float32",
    ],
)
def test_refuses_malformed_keys(key):
    with pytest.raises(InvalidLayerError):
        parse_layer(key)


def test_the_error_names_what_is_wrong():
    with pytest.raises(InvalidLayerError, match="kernel is 4"):
        ConvLayer(1, 28, 28, out_channels=64, kernel=4)
    with pytest.raises(InvalidLayerError, match="out_channels is 0"):
        ConvLayer(1, 28, 28, out_channels=0, kernel=3)
    with pytest.raises(InvalidLayerError, match="tanh"):
        ConvLayer(1, 28, 28, out_channels=64, kernel=3, activation="tanh")
    with pytest.raises(InvalidLayerError, match="add layer: unknown activation 'tanh'"):
        AddLayer(64, 2, 2, activation="tanh")
    with pytest.raises(InvalidLayerError, match="cannot pool 2x2 to 5x5"):
        HeadLayer(64, 2, 2, pool=5, ways=5)
    with pytest.raises(InvalidLayerError, match="width is True"):
        EmptyLayer(1, 1, True)
    with pytest.raises(InvalidLayerError, match="float64"):
        HeadLayer(64, 2, 2, pool=1, ways=5, dtype="float64")


def test_a_convolution_counts_its_work():
    layer = ConvLayer(3, 21, 30, out_channels=8, kernel=5, stride=2, pool=2)
    assert layer.conv_shape == (8, 11, 15)
    assert layer.output_shape == (8, 6, 8)
    assert layer.macs == 11 * 15 * 8 * 3 * 25
    assert layer.params == 8 * (3 * 25) + 8 + 2 * 8
    assert layer.size_bytes == 4 * layer.params


def operation(name, shape, out_channels, stride=1):
    return OperationLayer(*shape, out_channels=out_channels, operation=name, stride=stride)


def test_operations_count_their_stages():
    """On 8 channels at 7 x 6: (weights, multiply-accumulates a pixel, batch-norms)."""
    for name, weights, norms in (
        ("maxpool3x3", 0, 0),
        ("avgpool3x3", 0, 0),
        ("conv1x5-5x1", 2 * 5 * 8 * 8, 1),
        ("conv3x3", 9 * 8 * 8, 1),
        ("sepconv3x3", 2 * (9 * 8 + 8 * 8), 2),
        ("dilconv3x3", 9 * 8 + 8 * 8, 1),
    ):
        for stride, shape in ((1, (8, 7, 6)), (2, (8, 4, 3))):
            layer = operation(name, (8, 7, 6), 8, stride)
            assert layer.output_shape == shape
            assert layer.params == weights + norms * 2 * 8
            assert layer.macs == weights * shape[1] * shape[2]


def test_halves_and_pointwise_convolutions_change_the_channels():
    for name, stride, side in (("halves1x1", 2, 4), ("conv1x1", 1, 7), ("stem3x3", 1, 7)):
        layer = operation(name, (6, 7, 7), 9, stride)
        area = 9 if name == "stem3x3" else 1
        assert layer.output_shape == (9, side, side)
        assert layer.params == 9 * 6 * area + 2 * 9
        assert layer.macs == 9 * 6 * area * side * side


def test_the_second_half_reads_the_pixels_further_on_where_there_are_any():
    for shape, shift in (((4, 8, 8), (1, 1)), ((4, 7, 8), (0, 1)), ((4, 7, 7), (0, 0))):
        (stage,) = operation("halves1x1", shape, 4, 2).stages
        assert stage.shift == shift


def test_a_joined_map_has_all_channels():
    layer = ConcatLayer(8, 7, 6, maps=3)
    assert layer.output_shape == (24, 7, 6)
    assert (layer.macs, layer.params) == (0, 0)
    assert layer.peak_values == 2 * 24 * 7 * 6


def test_a_sum_has_no_weights_and_counts_no_multiplications():
    layer = AddLayer(8, 21, 30, pool=2)
    assert layer.input_shape == (8, 21, 30)
    assert layer.output_shape == (8, 11, 15)
    assert (layer.macs, layer.params, layer.size_bytes) == (0, 0, 0)


def test_a_head_counts_its_classifier():
    layer = HeadLayer(64, 7, 9, pool=2, ways=5)
    assert layer.features == 256
    assert layer.macs == 256 * 5
    assert layer.params == 256 * 5 + 5
    assert layer.output_shape == (5,)


@given(heads)
def test_a_heads_pooling_gives_its_map_and_covers_every_pixel(layer):
    for side, window, stride in zip(
        layer.input_shape[1:], layer.pool_window, layer.pool_stride, strict=True
    ):
        assert (side - window) // stride + 1 == layer.pool
        assert window + (layer.pool - 1) * stride == side
        assert window >= stride


def test_an_empty_graph_costs_nothing_of_its_own():
    layer = EmptyLayer(16, 4, 5)
    assert (layer.macs, layer.params, layer.size_bytes) == (0, 0, 0)
    assert layer.output_shape == layer.input_shape == (16, 4, 5)


def test_layers_are_values():
    layer = EmptyLayer(1, 2, 3)
    with pytest.raises(AttributeError):
        layer.width = 4


def test_int8_takes_a_byte_a_value():
    layer = ConvLayer(16, 7, 7, out_channels=32, kernel=3)
    small = ConvLayer(16, 7, 7, out_channels=32, kernel=3, dtype="int8")
    assert small.key == "conv/16x7x7/c32/k3/s1/relu/p1/int8"
    for name in ("size_bytes", "peak_bytes", "memory_bytes", "input_bytes", "output_bytes"):
        assert 4 * getattr(small, name) == getattr(layer, name)
    assert small.macs == layer.macs


def test_dtypes_of_layers():
    layer = AddLayer(16, 7, 7)
    assert dtypes_of([EmptyLayer(1, 1, 1)]) == set()
    assert dtypes_of([EmptyLayer(1, 1, 1), layer]) == {"float32"}
    assert dtypes_of([layer, AddLayer(16, 7, 7, dtype="int8")]) == {"float32", "int8"}
