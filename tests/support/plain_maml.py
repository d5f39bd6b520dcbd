"""MAML++ written down slowly: one task at a time, each operation on its own, no shared code.

What `metanas.meta` computes for a batch of tasks at once must equal this.
"""

import torch
from torch.nn import functional as F

EPSILON = 1e-5
ACTIVATIONS = {
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "leakyrelu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "selu": lambda x: (
        1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1))
    ),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
}


def forward(layers, weights, norms, step, images, statistics=None):
    """Logits (images, ways), and the (mean, variance) that each convolution was normalised by."""
    *convs, head = layers
    used = []
    x = images
    for index, conv in enumerate(convs):
        weight, bias = weights[f"conv{index}.weight"], weights[f"conv{index}.bias"]
        x = F.conv2d(x, weight, bias, stride=conv.stride, padding=(conv.kernel - 1) // 2)
        if statistics is None:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        else:
            mean, variance = statistics[index]
        used.append((mean, variance))
        x = (x - mean) / (variance + EPSILON).sqrt()
        x = x * norms[f"conv{index}.scale"][step].view(1, -1, 1, 1)
        x = x + norms[f"conv{index}.shift"][step].view(1, -1, 1, 1)
        x = ACTIVATIONS[conv.activation](x)
        if conv.pool > 1:
            x = F.max_pool2d(x, conv.pool, ceil_mode=True)
    x = F.avg_pool2d(x, head.pool_window, head.pool_stride)
    name = f"head{len(convs)}"
    return x.flatten(1) @ weights[f"{name}.weight"].flatten(1).T + weights[f"{name}.bias"], used


def task_loss(layers, parameters, task, *, step_weights, second_order, query_norm):
    """The query loss of one task (its images and labels without a task dimension)."""
    support_images, support_labels, query_images, query_labels = task
    norms, rates = parameters.norms, parameters.rates
    weights = dict(parameters.adapted)
    total = 0.0
    for step, step_weight in enumerate(step_weights):
        logits, _ = forward(layers, weights, norms, step, support_images)
        loss = F.cross_entropy(logits, support_labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        if not second_order:
            gradients = [gradient.detach() for gradient in gradients]
        weights = {
            name: weight - rates[name][step] * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        statistics = None
        if query_norm == "deployed":
            _, statistics = forward(layers, weights, norms, step, support_images)
        logits, _ = forward(layers, weights, norms, step, query_images, statistics)
        total = total + step_weight * F.cross_entropy(logits, query_labels)
    return total, logits


def batch_loss(layers, parameters, episodes, **settings):
    """Mean over the tasks, and the last logits (tasks, images, ways)."""
    tasks = zip(
        episodes.support_images,
        episodes.support_labels,
        episodes.query_images,
        episodes.query_labels,
        strict=True,
    )
    losses, logits = zip(
        *(task_loss(layers, parameters, t, **settings) for t in tasks), strict=True
    )
    return torch.stack(losses).mean(), torch.stack(logits)
