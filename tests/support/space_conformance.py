"""What every search space must do. A new space subclasses this and gives a `space` fixture."""

import operator

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.fx.passes import shape_prop
from torch.utils.flop_counter import FlopCounterMode

from metanas.errors import ArchitectureError
from metanas.spaces.network import Moments, cut
from metanas_agent.layers import parse_layer

SAMPLES = 200
BUILT = 6


class SpaceConformance:
    bytes_per_value = 4

    @pytest.fixture
    def space(self):
        raise NotImplementedError("give the space to test")

    @pytest.fixture
    def rng(self):
        return np.random.default_rng(7)

    @pytest.fixture
    def genes(self, space, rng):
        return space.sample(SAMPLES, rng)

    @pytest.fixture
    def some(self, space, genes):
        """A few architectures, the corners of the space among them."""
        return [*space.corners(), *map(space.from_genes, genes[:BUILT])]

    # Text and genes

    def test_prints_and_parses_back(self, space, genes):
        for row in genes:
            architecture = space.from_genes(row)
            assert space.parse(str(architecture)) == architecture
            assert hash(space.parse(str(architecture))) == hash(architecture)

    @pytest.mark.parametrize("text", ["", "-", "nonsense", "k3c64relu-", "\n", "k3c64relu k3"])
    def test_refuses_text_that_is_no_architecture(self, space, text):
        with pytest.raises(ArchitectureError):
            space.parse(text)

    def test_different_architectures_print_differently(self, space, genes):
        distinct = np.unique(genes, axis=0)
        assert len({str(space.from_genes(row)) for row in distinct}) == len(distinct)

    def test_genes_round_trip(self, space, genes):
        architectures = [space.from_genes(row) for row in genes]
        assert np.array_equal(space.encode(architectures), genes)

    def test_encodes_no_architectures(self, space):
        none = space.encode([])
        assert none.shape == (0, len(space.cardinalities))
        assert space.memory_bytes(none).shape == (0,)

    def test_refuses_genes_out_of_range(self, space, genes):
        too_large = genes[0].copy()
        too_large[0] = space.cardinalities[0]
        negative = genes[0].copy()
        negative[-1] = -1
        for wrong in (too_large, negative, genes[0][:-1]):
            with pytest.raises(ArchitectureError):
                space.from_genes(wrong)

    # Search operators

    def is_canonical(self, space, genes):
        space.check(genes)
        return np.array_equal(space.canonical(genes), genes)

    def test_samples_are_canonical_and_seeded(self, space, genes):
        assert genes.shape == (SAMPLES, len(space.cardinalities))
        assert self.is_canonical(space, genes)
        assert np.array_equal(space.sample(SAMPLES, np.random.default_rng(7)), genes)

    def test_samples_reach_every_alternative(self, space, rng):
        genes = space.sample(4000, rng)
        for gene, cardinality in enumerate(space.cardinalities):
            assert set(genes[:, gene]) == set(range(cardinality))

    @pytest.mark.parametrize("choices", [1, 2])
    def test_mutation_changes_as_many_genes_as_asked(self, space, genes, rng, choices):
        mutants = space.mutate(genes, rng, choices=choices)
        assert self.is_canonical(space, mutants)
        changed = genes != mutants
        assert changed.any(axis=1).all()
        before, after = space.active(genes), space.active(mutants)
        kept = before & after
        assert ((changed & kept).sum(axis=1) <= choices).all()
        same_genes_matter = (before == after).all(axis=1)
        mutable = (before & (np.array(space.cardinalities) > 1)).sum(axis=1)
        expected = np.minimum(choices, mutable)
        assert same_genes_matter.any()
        assert np.array_equal(changed.sum(axis=1)[same_genes_matter], expected[same_genes_matter])

    def test_mutation_leaves_its_input_alone(self, space, genes, rng):
        before = genes.copy()
        space.mutate(genes, rng)
        assert np.array_equal(genes, before)

    def test_mutation_reaches_every_alternative(self, space, genes, rng):
        mutants = space.mutate(np.repeat(genes, 20, axis=0), rng)
        for gene, cardinality in enumerate(space.cardinalities):
            assert set(mutants[:, gene]) == set(range(cardinality))

    def test_crossover_takes_genes_from_its_parents(self, space, genes, rng):
        fathers = genes[::-1]
        children = space.crossover(genes, fathers, rng)
        assert self.is_canonical(space, children)
        mattering = space.active(children)
        assert (((children == genes) | (children == fathers)) | ~mattering).all()
        assert (children != genes).any()
        assert (children != fathers).any()

    def test_crossover_of_equals_changes_nothing(self, space, genes, rng):
        assert np.array_equal(space.crossover(genes, genes, rng), genes)

    # Layers and costs

    def test_all_layers_are_distinct_and_parse_back(self, space):
        layers = space.all_layers
        assert len(set(layers)) == len(layers)
        assert [parse_layer(layer.key) for layer in layers] == list(layers)

    def test_layer_indices_agree_with_layers(self, space, genes):
        for row, indices in zip(genes, space.layer_indices(genes), strict=True):
            named = tuple(space.all_layers[index] for index in indices if index >= 0)
            assert named == space.layers(space.from_genes(row))

    def test_every_layer_belongs_to_an_architecture(self, space, rng):
        used = np.unique(space.layer_indices(space.sample(200_000, rng)))
        assert set(used) - {-1} == set(range(len(space.all_layers)))

    def test_layers_fit_together(self, space, some):
        for architecture in some:
            shapes = [space.input_shape]
            for layer in space.layers(architecture):
                assert layer.input_shape in shapes  # the image, or what an earlier layer gave
                shapes.append(layer.output_shape)
            assert shapes[-1] == (space.ways,)

    def test_sums_over_layers(self, space, genes, rng):
        costs = rng.random(len(space.all_layers))
        cost = dict(zip(space.all_layers, costs, strict=True))
        sums = [sum(cost[layer] for layer in space.layers(space.from_genes(row))) for row in genes]
        assert np.allclose(space.sum_over_layers(genes, costs), sums)

    def test_the_largest_costs_most(self, space, genes):
        largest = space.encode([space.largest()])
        for count in (space.params, space.macs, space.size_bytes):
            assert count(largest)[0] >= count(genes).max()

    def test_the_cheapest_costs_least(self, space, genes, rng):
        for _ in range(5):
            costs = rng.random(len(space.all_layers))
            cheapest = space.encode([space.cheapest(costs)])
            least = space.sum_over_layers(cheapest, costs)[0]
            others = np.concatenate([neighbours(space, cheapest[0]), genes])
            assert self.is_canonical(space, cheapest)
            assert least <= space.sum_over_layers(others, costs).min() + 1e-12

    def test_the_cheapest_of_low_peaks_costs_least_of_them(self, space, genes, rng):
        peaks = space.peak_bytes(genes)
        for limit in (*np.quantile(peaks, [0.02, 0.3, 0.9]), peaks.min()):
            costs = rng.random(len(space.all_layers))
            found = space.encode([space.cheapest_within(costs, limit)])
            assert self.is_canonical(space, found)
            assert space.peak_bytes(found)[0] <= limit
            others = neighbours(space, found[0])
            rivals = np.concatenate([genes, others])
            rivals = rivals[space.peak_bytes(rivals) <= limit]
            least = space.sum_over_layers(found, costs)[0]
            assert least <= space.sum_over_layers(rivals, costs).min() + 1e-12

    def test_no_network_has_less_than_the_least_peak(self, space, genes):
        costs = np.ones(len(space.all_layers))
        below = space.peak_bytes(genes).min()
        while (found := space.cheapest_within(costs, below - 1)) is not None:
            below = space.peak_bytes(space.encode([found]))[0]
        assert 0 < below <= space.peak_bytes(genes).min()

    # Built networks

    def test_the_peak_is_that_of_the_built_network(self, space, some):
        for architecture in some:
            module = folded(space, architecture)
            peak = space.peak_bytes(space.encode([architecture]))[0]
            assert peak * 4 == self.bytes_per_value * most_live_bytes(module, space.input_shape)

    def test_params_count_the_built_network(self, space, some):
        for architecture in some:
            network = space.network(architecture)
            shapes = {**network.adapted_shapes, **network.norm_shapes}
            assert len(shapes) == len(network.adapted_shapes) + len(network.norm_shapes)
            counted = sum(int(np.prod(shape)) for shape in shapes.values())
            genes = space.encode([architecture])
            assert counted == space.params(genes)[0]
            assert counted * self.bytes_per_value == space.size_bytes(genes)[0]

    def test_macs_count_the_built_network(self, space, some):
        for architecture in some:
            module = folded(space, architecture)
            with FlopCounterMode(display=False) as counter:
                module(torch.zeros(2, *space.input_shape))
            macs = space.macs(space.encode([architecture]))[0]
            assert counter.get_total_flops() == 2 * 2 * macs  # two images, and two FLOPs a MAC

    def test_the_corners_contain_every_network(self, space, genes):
        whole = {}
        for corner in space.corners():
            whole |= all_shapes(space.network(corner))
        assert all_shapes(space.network(space.largest())).items() <= whole.items()
        for row in genes:
            for name, shape in all_shapes(space.network(space.from_genes(row))).items():
                assert cut(torch.empty(whole[name], device="meta"), shape).shape == shape

    def test_the_largest_contains_every_network_where_they_are_nested(self, space, genes):
        largest = set(all_shapes(space.network(space.largest())))
        bodies = (
            {name for name in all_shapes(network) if not name.startswith("head")}
            for network in (space.network(space.from_genes(row)) for row in genes)
        )
        assert all(body <= largest for body in bodies) == space.nested

    def test_tasks_do_not_touch_each_other(self, space, some):
        for architecture in some:
            network = space.network(architecture)
            adapted, norms = random_weights(network, tasks=3)
            images = random_images(space, tasks=3, count=4)
            together = network(adapted, norms, images)
            assert together.shape == (3, 4, space.ways)
            for task in range(3):
                own = {name: tensor[task : task + 1] for name, tensor in adapted.items()}
                alone = network(own, norms, images[task : task + 1])
                torch.testing.assert_close(together[task : task + 1], alone, atol=1e-4, rtol=1e-4)

    def test_given_statistics_make_images_independent(self, space, some):
        for architecture in some:
            network = space.network(architecture)
            adapted, norms = random_weights(network, tasks=2)
            support, query = random_images(space, tasks=2, count=8).chunk(2, dim=1)
            statistics = {}
            seen = network(adapted, norms, support, record=statistics)
            again = network(adapted, norms, support, statistics=statistics)
            torch.testing.assert_close(again, seen, atol=1e-4, rtol=1e-4)
            whole = network(adapted, norms, query, statistics=statistics)
            first = network(adapted, norms, query[:, :1], statistics=statistics)
            torch.testing.assert_close(whole[:, :1], first, atol=1e-5, rtol=1e-4)

    def test_folding_changes_no_logit(self, space, some):
        for architecture in some:
            network = space.network(architecture)
            adapted, norms = random_weights(network, tasks=1)
            support, query = random_images(space, tasks=1, count=8).chunk(2, dim=1)
            statistics = {}
            network(adapted, norms, support, record=statistics)
            logits = network(adapted, norms, query, statistics=statistics)[0]
            module = network.folded(
                {name: tensor[0] for name, tensor in adapted.items()},
                norms,
                {name: Moments(m.mean[0], m.variance[0]) for name, m in statistics.items()},
            )
            scale = max(1.0, logits.abs().max().item())
            torch.testing.assert_close(module(query[0]), logits, atol=1e-5 * scale, rtol=0)

    def test_every_tensor_is_used(self, space, some):
        for architecture in some:
            network = space.network(architecture)
            adapted, norms = random_weights(network, tasks=1)
            tensors = {**adapted, **norms}
            for tensor in tensors.values():
                tensor.requires_grad_()
            # A bias does nothing to a map that its own statistics normalise, but to these it does.
            images = random_images(space, tasks=1, count=4)
            logits = network(adapted, norms, images, record={})
            logits.square().sum().backward()
            assert all(tensor.grad is not None for tensor in tensors.values())


def all_shapes(network):
    return {**network.adapted_shapes, **network.norm_shapes}


def neighbours(space, genes):
    """Every architecture that differs in one gene, and the one itself."""
    changed = [
        np.where(np.arange(len(genes)) == gene, value, genes)
        for gene, cardinality in enumerate(space.cardinalities)
        for value in range(cardinality)
    ]
    return space.canonical(np.array(changed))


def folded(space, architecture):
    """A module of one task, with random weights and statistics."""
    network = space.network(architecture)
    adapted, norms = random_weights(network, tasks=1)
    statistics = {}
    network(adapted, norms, random_images(space, tasks=1, count=4), record=statistics)
    return network.folded(
        {name: tensor[0] for name, tensor in adapted.items()},
        norms,
        {name: Moments(m.mean[0], m.variance[0]) for name, m in statistics.items()},
    )


NEW_MAP = (nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d)
"""And a concatenation, and a sum of maps that are read again. Everything else works in place:
activations, other sums, reshaping."""


def most_live_bytes(module, input_shape):
    """Most bytes of maps at one moment: each lives from its making to the last that reads it."""
    graph = fx.symbolic_trace(module)
    shape_prop.ShapeProp(graph).propagate(torch.zeros(1, *input_shape))
    maps, born, died, size = {}, {}, {}, {}
    nodes = list(graph.graph.nodes)
    for now, node in enumerate(nodes):
        read = [maps[argument] for argument in node.all_input_nodes]
        died |= dict.fromkeys(read, now)
        made = node.op == "placeholder" or node.target is torch.cat
        if node.op == "call_module":
            made = isinstance(graph.get_submodule(node.target), NEW_MAP)
        if node.target is operator.add:
            later = {maps.get(given) for each in nodes[now + 1 :] for given in each.all_input_nodes}
            read = [map_ for map_ in read if map_ not in later]
            made = not read
        maps[node] = node if made else (read or [None])[0]
        if made:
            born[node] = died[node] = now
            size[node] = 4 * int(np.prod(node.meta["tensor_meta"].shape))
    return max(
        sum(size[map_] for map_ in size if born[map_] <= now <= died[map_])
        for now in range(len(maps))
    )


def random_weights(network, *, tasks, seed=0):
    """Adapted tensors with a task dimension, scaled to keep activations near 1, and norms."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, spread):
        return torch.randn(shape, generator=generator) * spread

    adapted = {
        name: normal((tasks, *shape), float(np.prod(shape[1:])) ** -0.5)
        for name, shape in network.adapted_shapes.items()
    }
    norms = {name: 1 + normal(shape, 0.2) for name, shape in network.norm_shapes.items()}
    return adapted, norms


def random_images(space, *, tasks, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tasks, count, *space.input_shape, generator=generator)
