"""MAML++ and its kin written down slowly: one task at a time, each operation on its own.

What `metanas.meta` computes for a batch of tasks at once must equal this. They share no code.
"""

import torch
from torch.nn import functional as F

from metanas_agent.layers import AddLayer

EPSILON = 1e-5
ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "leakyrelu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "selu": lambda x: (
        1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1))
    ),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
}


class PlainNetwork:
    """A network of one task; `used` has each convolution's (mean, variance) of the last images."""

    def __init__(self, layers, weights, norms, statistics=None):
        self.layers, self.weights, self.norms, self.statistics = layers, weights, norms, statistics
        self.used = {}

    def __call__(self, images):
        *body, head = self.layers
        if any(isinstance(layer, AddLayer) for layer in body):
            x, depth = self.blocks(body, images)
        else:
            x, depth = images, len(body)
            for index, conv in enumerate(body):
                x = self.finish(conv, self.convolve(f"conv{index}", conv, x))
        x = F.avg_pool2d(x, head.pool_window, head.pool_stride).flatten(1)
        weight, bias = self.weights[f"head{depth}.weight"], self.weights[f"head{depth}.bias"]
        return x @ weight.flatten(1).T + bias

    def blocks(self, body, x):
        depth, through, convs = 0, x, []
        for layer in body:
            if isinstance(layer, AddLayer):
                *ahead, shortcut = convs
                for index, conv in enumerate(ahead):
                    through = self.convolve(f"block{depth}.conv{index}", conv, through)
                    through = self.finish(conv, through)
                other = self.convolve(f"block{depth}.shortcut", shortcut, x)
                x = through = self.finish(layer, through + other)
                depth, convs = depth + 1, []
            else:
                convs.append(layer)
        return x, depth

    def convolve(self, name, conv, x):
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        x = F.conv2d(x, weight, bias, stride=conv.stride, padding=(conv.kernel - 1) // 2)
        if self.statistics is None:
            mean = x.mean((0, 2, 3))
            variance = ((x - mean.view(1, -1, 1, 1)) ** 2).mean((0, 2, 3))
        else:
            mean, variance = self.statistics[name]
        self.used[name] = (mean, variance)
        x = (x - mean.view(1, -1, 1, 1)) / (variance + EPSILON).sqrt().view(1, -1, 1, 1)
        scale, shift = self.norms[f"{name}.scale"], self.norms[f"{name}.shift"]
        return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)

    @staticmethod
    def finish(layer, x):
        x = ACTIVATIONS[layer.activation](x)
        return F.max_pool2d(x, layer.pool, ceil_mode=True) if layer.pool > 1 else x


def norms_at(parameters, weights, step):
    """Scales and shifts of a step: its own, those of all steps, or among the weights."""
    if not parameters.norms:
        return weights
    return {
        name: copies[step] if copies.shape[0] > 1 else copies[0]
        for name, copies in parameters.norms.items()
    }


def inner_steps(layers, parameters, images, labels, *, second_order):
    """The weights after each step on one task's support set."""
    weights = dict(parameters.adapted)
    for step in range(parameters.steps):
        network = PlainNetwork(layers, weights, norms_at(parameters, weights, step))
        loss = F.cross_entropy(network(images), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        if not second_order:
            gradients = [gradient.detach() for gradient in gradients]
        weights = {
            name: weight - parameters.rates[name][step] * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        yield weights


def task_loss(layers, parameters, task, *, step_weights, second_order, query_norm):
    """The query loss and last logits of one task, and its query statistics at each step."""
    support_images, support_labels, query_images, query_labels = task
    total, observed = 0.0, []
    steps = inner_steps(
        layers, parameters, support_images, support_labels, second_order=second_order
    )
    for step, weights in enumerate(steps):
        norms = norms_at(parameters, weights, step)
        network = PlainNetwork(layers, weights, norms)
        network(query_images)
        observed.append(dict(network.used))
        if query_norm == "deployed":
            network(support_images)
            network = PlainNetwork(layers, weights, norms, dict(network.used))
        elif query_norm == "running":
            network = PlainNetwork(layers, weights, norms, running_at(parameters, step))
        logits = network(query_images)
        total = total + step_weights[step] * F.cross_entropy(logits, query_labels)
    return total, logits, observed


def running_at(parameters, step):
    """Running (mean, variance) of each convolution."""
    kept = parameters.statistics
    names = {name.rpartition(".")[0] for name in kept}
    return {name: (kept[f"{name}.mean"][step], kept[f"{name}.variance"][step]) for name in names}


def tasks_of(episodes):
    """Images and labels of one task after another."""
    return zip(
        episodes.support_images,
        episodes.support_labels,
        episodes.query_images,
        episodes.query_labels,
        strict=True,
    )


def batch_loss(layers, parameters, episodes, **settings):
    """Mean over the tasks, the last logits (tasks, images, ways), and each task's statistics."""
    outcomes = [task_loss(layers, parameters, t, **settings) for t in tasks_of(episodes)]
    losses, logits, observed = zip(*outcomes, strict=True)
    return torch.stack(losses).mean(), torch.stack(logits), observed


def reptile_gradients(layers, parameters, episodes):
    """Name to the mean over the tasks of the initial minus the adapted weights."""
    moved = {name: torch.zeros_like(weight) for name, weight in parameters.adapted.items()}
    for images, labels, _, _ in tasks_of(episodes):
        steps = list(inner_steps(layers, parameters, images, labels, second_order=False))
        weights = steps[-1]
        for name, weight in parameters.adapted.items():
            moved[name] += (weight - weights[name]).detach() / len(episodes)
    return moved
