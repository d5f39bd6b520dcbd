from dataclasses import dataclass

import pytest

from metanas.errors import InvalidLayerError, UnsupportedError
from metanas.spaces import make_space
from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer
from metanas_simulators import Convolution, convolution_of

FIELDS = {
    "name": "stem",
    "height": 9,
    "width": 7,
    "kernel_height": 3,
    "kernel_width": 1,
    "in_channels": 2,
    "out_channels": 4,
    "stride": 2,
}


def test_what_does_not_fill_a_stride_gives_no_output():
    convolution = Convolution(**FIELDS | {"height": 10})
    assert (convolution.out_height, convolution.out_width) == (4, 4)
    assert convolution.macs == 4 * 4 * 3 * 1 * 2 * 4


def test_convolutions_of_one_work_are_equal_whatever_their_names():
    assert Convolution(**FIELDS) == Convolution(**FIELDS | {"name": "other"})
    assert Convolution(**FIELDS) != Convolution(**FIELDS | {"stride": 1})


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 21, 30)])
@pytest.mark.parametrize("downsampling", ["pooled", "strided"])
@pytest.mark.parametrize("name", ["vgg9", "resnet12"])
def test_layers_of_spaces_keep_their_output_and_their_work(name, shape, downsampling):
    space = make_space(name, input_shape=shape, ways=5, downsampling=downsampling)
    computed = 0
    for layer in space.all_layers:
        convolution = convolution_of(layer)
        if convolution is None:
            assert isinstance(layer, AddLayer)
            continue
        computed += 1
        assert convolution.name == layer.key
        assert convolution.macs == layer.macs
        if isinstance(layer, ConvLayer):
            out = (convolution.out_channels, convolution.out_height, convolution.out_width)
            assert out == layer.conv_shape
    assert computed > 2000


def test_a_heads_classifier_has_its_pooled_map_as_kernel():
    convolution = convolution_of(HeadLayer(64, 7, 7, pool=2, ways=5))
    assert (convolution.kernel_height, convolution.kernel_width) == (2, 2)
    assert (convolution.out_height, convolution.out_width) == (1, 1)
    assert (convolution.in_channels, convolution.out_channels) == (64, 5)


@pytest.mark.parametrize("layer", [EmptyLayer(1, 1, 1), AddLayer(8, 4, 4, pool=2)], ids=str)
def test_there_is_none_in_what_does_not_multiply(layer):
    assert convolution_of(layer) is None


def test_another_kind_of_layer_is_refused():
    @dataclass(frozen=True)
    class NormLayer:
        key: str = "norm/8x4x4"

    with pytest.raises(UnsupportedError, match="norm/8x4x4"):
        convolution_of(NormLayer())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"height": 0}, "height is 0"),
        ({"width": -3}, "width is -3"),
        ({"kernel_height": 2.0}, r"kernel_height is 2\.0"),
        ({"in_channels": "3"}, "in_channels is '3'"),
        ({"out_channels": True}, "out_channels is True"),
        ({"stride": 0}, "stride is 0"),
        ({"kernel_height": 10}, "kernel_height is 10 .*fit into the padded input's height of 9"),
        ({"kernel_width": 8}, "kernel_width is 8 .*fit into the padded input's width of 7"),
        ({"out_channels": 2**40}, ".* multiply-accumulates"),
    ],
)
def test_names_the_layer_and_the_wrong_field(changes, named):
    with pytest.raises(InvalidLayerError, match=f"^stem: {named}"):
        Convolution(**FIELDS | changes)
