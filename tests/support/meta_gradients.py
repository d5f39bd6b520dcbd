"""Meta-gradients next to a reference's."""

import torch

TOLERANCE = 1e-9


def assert_same_gradients(loss, expected, parameters):
    """The gradients of two losses by everything that is learned agree."""
    leaves = {name: tensor for name, tensor in parameters.named() if tensor.requires_grad}
    ours = torch.autograd.grad(loss, leaves.values(), materialize_grads=True)
    theirs = torch.autograd.grad(expected, leaves.values(), materialize_grads=True)
    assert_same(dict(zip(leaves, ours, strict=True)), dict(zip(leaves, theirs, strict=True)))


def assert_same(ours, theirs):
    """Gradients by name agree."""
    assert ours.keys() == theirs.keys()
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    assert largest > 1e-3
    for name, plain in theirs.items():
        # A convolution's bias does nothing before batch-norm: its gradient is noise around 0.
        scale = max(float(plain.abs().max()), 1e-4 * largest)
        assert float((ours[name] - plain).abs().max()) <= TOLERANCE * scale, name
