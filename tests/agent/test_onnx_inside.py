import numpy as np
import onnx
import pytest

from metanas.spaces import make_space
from metanas_agent.layers import ACTIVATIONS, AddLayer, ConvLayer, EmptyLayer, HeadLayer
from metanas_agent.runtimes import load_runtime, onnx_inside
from metanas_agent.runtimes.onnx_graph import INPUT, OUTPUT, network_model
from metanas_agent.runtimes.onnx_inside import can_be_cut_out, cut_out
from support.onnx_sessions import session, write_optimised

VGG9 = make_space("vgg9", input_shape=(1, 28, 28), ways=5)
GUARD = np.float32(1234.5)
GUARD_LENGTH = 4096

HEADS = [
    HeadLayer(32, 14, 14, pool=5, ways=5),
    HeadLayer(32, 7, 7, pool=5, ways=20),
    HeadLayer(144, 5, 5, pool=5, ways=5),
    HeadLayer(16, 3, 2, pool=1, ways=5),
    HeadLayer(16, 1, 1, pool=1, ways=5),
]


class SameByShape(np.random.Generator):
    """Draws the same values for a shape, whatever was drawn before: so a layer has the same
    weights in each model that it is a part of."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def random(self, size, dtype):
        return np.random.default_rng(size).random(size, dtype=dtype)


def cut(layer):
    return cut_out(layer, SameByShape(), write_optimised)


def run_whole(layers, image):
    model = network_model(layers, SameByShape()).SerializeToString()
    (output,) = session(model, optimise=False).run([OUTPUT], {INPUT: image})
    return output


def run_cut_layers(layers, image):
    """Each cut model's output, whatever its layout, is the next one's input."""
    for layer in layers:
        assert can_be_cut_out(layer)
        (image,) = session(cut(layer), optimise=False).run([OUTPUT], {INPUT: image})
        assert image.shape == (1, *layer.output_shape)
    return image


def check_chain(*layers):
    image = np.random.default_rng(1).uniform(-1, 1, (1, *layers[0].input_shape)).astype(np.float32)
    whole = run_whole(layers, image)
    assert whole.std() > 1e-3 * np.abs(whole).max()  # else little would be compared
    np.testing.assert_allclose(
        run_cut_layers(layers, image), whole, rtol=1e-4, atol=1e-4 * np.abs(whole).max()
    )


@pytest.mark.parametrize("seed", range(8))
def test_layers_of_random_networks_fit_together_and_compute_the_network(seed):
    (genes,) = VGG9.sample(1, np.random.default_rng(seed))
    check_chain(*VGG9.layers(VGG9.from_genes(genes)))


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "none"])
def test_every_activation_with_and_without_pooling(activation, pool):
    side = -(-13 // pool)
    last = -(-side // pool)
    check_chain(
        ConvLayer(1, 13, 13, out_channels=32, kernel=3, activation=activation, pool=pool),
        ConvLayer(32, side, side, out_channels=16, kernel=5, activation=activation, pool=pool),
        HeadLayer(16, last, last, pool=1, ways=5),
    )


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_heads(head):
    channels, height, width = head.input_shape
    check_chain(ConvLayer(3, height, width, out_channels=channels, kernel=3), head)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_first_layers_read_the_image_as_it_is(channels, kernel):
    first = ConvLayer(channels, 15, 14, out_channels=48, kernel=kernel, stride=2)
    assert all(
        node.op_type != "ReorderInput" for node in onnx.load_from_string(cut(first)).graph.node
    )
    check_chain(first, HeadLayer(48, 8, 7, pool=5, ways=5))


@pytest.mark.parametrize("stride", [1, 2])
def test_strides(stride):
    side = -(-9 // stride)
    check_chain(
        ConvLayer(1, 9, 9, out_channels=16, kernel=3),
        ConvLayer(16, 9, 9, out_channels=32, kernel=3, stride=stride, activation="elu"),
        ConvLayer(32, side, side, out_channels=16, kernel=1, stride=stride),
        HeadLayer(16, -(-side // stride), -(-side // stride), pool=1, ways=5),
    )


@pytest.mark.parametrize(
    "layer",
    [
        ConvLayer(16, 6, 6, out_channels=24, kernel=3),
        ConvLayer(24, 6, 6, out_channels=16, kernel=3),
        ConvLayer(5, 6, 6, out_channels=16, kernel=3),
        ConvLayer(1, 6, 6, out_channels=8, kernel=3),
        HeadLayer(24, 6, 6, pool=1, ways=5),
        AddLayer(16, 6, 6),
        EmptyLayer(16, 6, 6),
    ],
    ids=str,
)
def test_other_layers_are_timed_alone(layer, monkeypatch):
    def refuse(*_):
        raise AssertionError("cut out")

    assert not can_be_cut_out(layer)
    monkeypatch.setattr("metanas_agent.runtimes.onnx.cut_out", refuse)
    assert load_runtime("onnx").prepare(layer, seed=0)(1) > 0


def test_the_runtime_times_what_is_cut_out(monkeypatch):
    seen = []

    def watched(layer, rng, optimise):
        seen.append(layer)
        return cut_out(layer, rng, optimise)

    layer = ConvLayer(16, 6, 6, out_channels=32, kernel=3, pool=2)
    monkeypatch.setattr("metanas_agent.runtimes.onnx.cut_out", watched)
    assert load_runtime("onnx").prepare(layer, seed=0)(3) > 0
    assert seen == [layer]


def test_neighbours_are_cut_away():
    layer = ConvLayer(16, 6, 6, out_channels=32, kernel=3)
    model = onnx.load_from_string(cut(layer))
    (convolution,) = model.graph.node
    assert {tuple(t.dims) for t in model.graph.initializer} == {(32, 16, 3, 3), (32,)}
    assert convolution.input[0] == INPUT
    assert convolution.output[0] == OUTPUT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where temporary files go."""
    monkeypatch.setattr(onnx_inside, "_FOLDER", str(tmp_path))
    return tmp_path


def test_no_file_is_left(folder):
    places = []

    def watched(model, path):
        write_optimised(model, path)
        places.extend(folder.rglob("*.onnx"))

    cut_out(ConvLayer(1, 28, 28, out_channels=16, kernel=3), SameByShape(), watched)
    assert len(places) == 1
    assert not list(folder.iterdir())


def test_no_file_is_left_by_a_failure(folder):
    def broken(model, path):
        write_optimised(model, path)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cut_out(ConvLayer(1, 28, 28, out_channels=16, kernel=3), SameByShape(), broken)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "layer",
    [
        ConvLayer(1, 28, 28, out_channels=144, kernel=5, activation="selu", pool=2),
        ConvLayer(3, 5, 3, out_channels=16, kernel=3, activation="elu"),
        ConvLayer(48, 7, 7, out_channels=112, kernel=3, pool=2),
        ConvLayer(144, 1, 1, out_channels=16, kernel=5, activation="sigmoid", pool=2),
        *HEADS,
    ],
    ids=str,
)
def test_nothing_is_written_beside_the_output(layer):
    """Blocked maps are no larger than those of the layer, whose shapes the model declares."""
    length = int(np.prod(layer.output_shape))
    memory = np.full(length + 2 * GUARD_LENGTH, GUARD)
    output = memory[GUARD_LENGTH : GUARD_LENGTH + length]
    image = np.random.default_rng(2).random((1, *layer.input_shape), dtype=np.float32)
    runner = session(cut(layer), optimise=False)
    binding = runner.io_binding()
    binding.bind_cpu_input(INPUT, image)
    binding.bind_output(OUTPUT, "cpu", 0, np.float32, (1, *layer.output_shape), output.ctypes.data)
    runner.run_with_iobinding(binding)
    assert (output != GUARD).all()
    assert (memory[:GUARD_LENGTH] == GUARD).all()
    assert (memory[-GUARD_LENGTH:] == GUARD).all()
