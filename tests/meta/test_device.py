"""Everything stays on the device that it was put on; on a GPU the numbers are the CPU's."""

from dataclasses import replace

import pytest
import torch

from metanas.data import EpisodeSampler, EpisodeSettings
from metanas.errors import AcceleratorError, SettingsMismatchError
from metanas.meta import (
    ALGORITHMS,
    Fixed,
    adapted_weights,
    evaluate,
    evaluate_loss,
    initialise,
    load_checkpoint,
    meta_loss,
    meta_train,
    query_logits,
)
from metanas.meta.reptile import reptile_loss
from metanas.parallel import Group, Workers

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 2


@pytest.fixture
def network(small_space):
    return small_space.network(small_space.parse("k3c64relu-k3c64elu"))


@pytest.fixture
def sampler(patterns):
    return EpisodeSampler(patterns, EpisodeSettings(3, 1, 2), seed=0)


@pytest.fixture
def gpu():
    """One worker on a GPU, as `--accelerator cuda` makes it."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return Workers(1, "cuda").group


# The device "meta" has no values, but it refuses what lies elsewhere, as a GPU does.


@pytest.mark.parametrize("query_norm", ["transductive", "deployed", "running"])
@pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])
def test_the_meta_gradient_is_where_the_parameters_are(network, sampler, query_norm, second_order):
    parameters = initialise([network], steps=STEPS, rate=0.1, seed=0, running_statistics=True)
    placed = parameters.to(torch.device("meta"))
    leaves = {
        name: tensor.requires_grad_()
        for name, tensor in placed.named()
        if not name.startswith("statistics")
    }
    result = meta_loss(
        network,
        placed.cut(network),
        sampler.batch(0, 2, device="meta"),
        step_weights=[0.5, 0.5],
        second_order=second_order,
        query_norm=query_norm,
    )
    gradients = torch.autograd.grad(result.loss, leaves.values(), materialize_grads=True)
    for tensor in (result.loss, result.losses, result.accuracies, *gradients):
        assert tensor.device.type == "meta"


def test_reptile_is_where_the_parameters_are(network, sampler):
    switches = {n: v for n, v in ALGORITHMS["reptile"].items() if "norms" in n or "rates" in n}
    parameters = initialise([network], steps=STEPS, rate=0.1, seed=0, **switches)
    placed = parameters.to(torch.device("meta"))
    for tensor in placed.adapted.values():
        tensor.requires_grad_()
    episodes = sampler.batch(0, 2, device="meta")
    result = reptile_loss(network, placed.cut(network), episodes, query_norm="transductive")
    assert result.losses.device.type == "meta"
    gradients = torch.autograd.grad(result.loss, placed.adapted.values(), materialize_grads=True)
    assert {gradient.device.type for gradient in gradients} == {"meta"}


@pytest.mark.parametrize("query_norm", ["transductive", "deployed"])
def test_evaluation_is_where_the_parameters_are(network, sampler, query_norm):
    placed = initialise([network], steps=STEPS, rate=0.1, seed=0).to(torch.device("meta"))
    episodes = sampler.batch(0, 2, device="meta")
    weights = adapted_weights(network, placed, episodes.support_images, episodes.support_labels)
    logits = query_logits(network, placed, weights, episodes, step=1, query_norm=query_norm)
    assert logits.device.type == "meta"


def test_a_machine_without_a_gpu_says_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(AcceleratorError, match=r"no CUDA device.*--accelerator cpu"):
        Workers(1, "cuda")


# On a GPU


def test_a_gpu_gives_the_meta_gradient_of_the_cpu(gpu, network, sampler):
    """To float32's precision, so TF32 is off; as doubles, to theirs."""
    for dtype, tolerance in ((torch.float32, 1e-3), (torch.float64, 1e-9)):
        gradients = []
        for device in (torch.device("cpu"), gpu.device):
            drawn = sampler.batch(0, 4, device=device)
            episodes = replace(
                drawn,
                support_images=drawn.support_images.to(dtype),
                query_images=drawn.query_images.to(dtype),
            )
            parameters = initialise([network], steps=STEPS, rate=0.1, seed=0)
            placed = type(parameters).from_named(
                {
                    name: tensor.detach().to(device, dtype).requires_grad_()
                    for name, tensor in parameters.named()
                }
            )
            loss = meta_loss(network, placed, episodes, step_weights=[0.5, 0.5]).loss
            leaves = [tensor for _, tensor in placed.named()]
            gradient = torch.autograd.grad(loss, leaves)
            gradients.append(torch.cat([part.flatten().cpu() for part in gradient]))
        difference = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
        assert float(difference) < tolerance


def test_training_on_a_gpu_resumes_bit_for_bit(gpu, make_plan, small_space, files, tmp_path):
    plan = make_plan(small_space, epochs=2, iterations=2, first_order_share=0.5)
    elsewhere = type(files)(tmp_path / "other.safetensors", tmp_path / "other.jsonl")
    whole = meta_train(gpu, plan, elsewhere)
    assert next(whole.named())[1].device.type == "cuda"

    def stop(line):
        if line["step"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        meta_train(gpu, plan, files, observer=stop)
    resumed = dict(meta_train(gpu, plan, files).named())
    for name, tensor in whole.named():
        assert torch.equal(tensor, resumed[name]), name


def test_what_a_gpu_trained_serves_a_cpu(gpu, make_plan, small_space, files, sampler):
    architecture = small_space.parse("k3c64relu")
    plan = make_plan(small_space, Fixed(architecture), epochs=1, iterations=2)
    meta_train(gpu, plan, files)
    trained = load_checkpoint(files.checkpoint).trained
    assert {tensor.device.type for _, tensor in trained.named()} == {"cpu"}
    network = small_space.network(architecture)
    there = evaluate(gpu, network, trained, sampler, episodes=20)
    here = evaluate(Group(), network, trained, sampler, episodes=20)
    for norm, accuracy in here.items():
        assert there[norm].accuracy == pytest.approx(accuracy.accuracy, abs=0.02)
    losses = [
        evaluate_loss(
            network,
            trained.to(device),
            sampler.batch(0, 4, device=device),
            query_norm="deployed",
        )[0]
        for device in (torch.device("cpu"), gpu.device)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_another_accelerator_is_refused(gpu, make_plan, small_space, files):
    plan = make_plan(small_space, Fixed(small_space.parse("k3c64relu")), epochs=1, iterations=1)
    meta_train(Group(), plan, files)
    with pytest.raises(SettingsMismatchError, match="accelerator was 'cpu', not 'cuda'"):
        meta_train(gpu, plan, files)
