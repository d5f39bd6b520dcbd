import pytest

from metanas_simulators import Accelerator, Convolution, Sram


@pytest.fixture(scope="session")
def sram():
    return Sram(ifmap_kib=36, filter_kib=36, ofmap_kib=36, word_bytes=2)


@pytest.fixture(scope="session")
def eyeriss(sram):
    """Eyeriss's array, with a dataflow."""
    return lambda dataflow: Accelerator(12, 14, dataflow, 200, sram)


@pytest.fixture(scope="session")
def conv():
    """A convolution by its output's sides, its kernel's and its channels."""

    def make(out, kernel, in_channels, out_channels, stride=1, name="layer"):
        (height, width), (kernel_height, kernel_width) = out, kernel
        return Convolution(
            name=name,
            height=(height - 1) * stride + kernel_height,
            width=(width - 1) * stride + kernel_width,
            kernel_height=kernel_height,
            kernel_width=kernel_width,
            in_channels=in_channels,
            out_channels=out_channels,
            stride=stride,
        )

    return make
