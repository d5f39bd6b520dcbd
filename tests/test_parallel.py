import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from metanas.errors import DataError, WorkerError
from metanas.meta import load_checkpoint, meta_loss
from metanas.parallel import Group, Workers
from support import worker_tasks

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="class")
def pair():
    with Workers(2) as workers:
        yield workers


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# A group of one


def test_one_worker_is_this_process():
    with Workers(1) as workers:
        assert workers.run(worker_tasks.places) == [[0, os.getpid(), 1]]
        assert workers.run(worker_tasks.sums) == [1, 10]
        assert workers.run(worker_tasks.averages)[1].tolist() == [[0, 1, 2], [3, 4, 5]]
        with pytest.raises(DataError, match="broken here"):
            workers.run(worker_tasks.fail_on_leader)
        assert workers.run(worker_tasks.sums) == [1, 10]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("count", "size"), [(0, 1), (7, 1), (7, 2), (2, 3), (9, 3)])
def test_shares_are_even_and_cover_everything(count, size):
    shares = [list(Group(rank, size).share(count)) for rank in range(size)]
    assert sorted(item for share in shares for item in share) == list(range(count))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


class TestTwoWorkers:
    def test_each_worker_is_a_process_with_one_thread(self, pair):
        (first, here, _), (second, there, threads) = pair.run(worker_tasks.places)
        assert (first, second) == (0, 1)
        assert here == os.getpid() != there
        assert threads == 1
        assert is_alive(there)

    def test_average_and_sum_over_the_workers(self, pair):
        scalar, matrix, single = pair.run(worker_tasks.averages)
        assert scalar.item() == 1.5
        assert matrix.tolist() == [[0, 1.5, 3], [4.5, 6, 7.5]]
        assert single.tolist() == [[7.5]]
        assert pair.run(worker_tasks.sums) == [3, 30]

    def test_an_observer_stays_in_this_process(self, pair):
        seen = []
        assert pair.run(worker_tasks.observed, observer=seen.append) == 1
        assert seen == ["seen"]

    def test_helpers_leave_ctrl_c_to_this_process(self, pair):
        assert pair.run(worker_tasks.interrupt_helper) == [3, 30]

    @pytest.mark.parametrize("tasks", [2, 3])
    def test_training_uses_the_tasks_of_every_worker(self, pair, tmp_path, tasks):
        """The gradient is the mean over all tasks, where workers do not divide them, too."""
        seen = []
        pair.run(worker_tasks.train, tmp_path, tasks, observer=seen.append)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["net.metrics.jsonl", "net.safetensors"]

        plan = worker_tasks.training_plan(tasks)
        parameters = plan.initialise()
        shares = [tasks - tasks // 2, tasks // 2]
        results = [
            meta_loss(
                plan.space.network(plan.corners[0]),
                parameters,
                plan.sampler.batch(0, share, rank=rank),
                step_weights=plan.outer.step_weights(0),
            )
            for rank, share in enumerate(shares)
        ]
        losses = [result.loss for result in results]
        loss = (shares[0] * losses[0] + shares[1] * losses[1]) / tasks
        loss.backward()
        assert abs(losses[0] - losses[1]) > 0.01
        assert [line["loss"] for line in seen] == pytest.approx([loss.item()], abs=1e-5)
        checkpoint = load_checkpoint(tmp_path / "net.safetensors")
        seen_means = torch.cat([result.statistics[1]["conv1"].mean for result in results])
        running_means = checkpoint.parameters.statistics["conv1.mean"][1]
        torch.testing.assert_close(running_means, 0.1 * seen_means.mean(0), rtol=1e-3, atol=1e-6)
        moments = checkpoint.optimiser
        for name, tensor in parameters.named():
            if tensor.grad is None:  # what is not learned, and biases before batch-norm
                assert f"{name}:exp_avg" not in moments
                continue
            first_moment = 0.1 * tensor.grad  # Adam's, after one step
            torch.testing.assert_close(
                moments[f"{name}:exp_avg"], first_moment, rtol=1e-3, atol=1e-7, msg=name
            )

    def test_a_search_finds_the_same_with_two_workers(self, pair, tmp_path):
        alone = worker_tasks.search(Group(), tmp_path / "alone.jsonl")
        together = pair.run(worker_tasks.search, tmp_path / "together.jsonl")
        assert together.winner.architecture == alone.winner.architecture
        assert together.evaluations == alone.evaluations
        assert together.evaluated == alone.evaluated
        for ours, theirs in zip(together.finalists, alone.finalists, strict=True):
            assert ours.loss == pytest.approx(theirs.loss, abs=1e-6)
            assert ours.accuracy == pytest.approx(theirs.accuracy, abs=1e-6)
        for journal in tmp_path.iterdir():  # a header and two rounds, written once
            assert len(journal.read_text().splitlines()) == 3

    def test_accuracy_is_the_same_with_two_workers(self, pair):
        alone = worker_tasks.evaluate_untrained(Group())
        together = pair.run(worker_tasks.evaluate_untrained)
        for norm, accuracy in alone.items():
            assert astuple(together[norm]) == pytest.approx(astuple(accuracy), abs=1e-6)

    def test_validation_is_the_same_with_two_workers_to_the_bit(self, pair):
        """Each decides by it what the best epoch is, and when to end."""
        alone = worker_tasks.validate_untrained(Group())
        assert pair.run(worker_tasks.validate_untrained) == alone


# What goes wrong


def run_and_watch(workers, function, **arguments):
    """Run, and give the error and the helper's process."""
    _, (_, helper, _) = workers.run(worker_tasks.places)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at it
        workers.run(function, **arguments)
    with pytest.raises(WorkerError):  # what is left of the group is of no use
        workers.run(worker_tasks.sums)
    return caught.value, helper


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        (worker_tasks.fail_on_helper, {"together": False}, "worker 1 failed: broken on the helper"),
        (worker_tasks.fail_on_helper, {"together": True}, "worker 1 failed: broken on the helper"),
        (worker_tasks.die_on_helper, {}, "worker 1 died"),
        (worker_tasks.fail_on_leader, {}, "broken here"),
    ],
    ids=["fails", "fails while waited for", "is killed", "is left waiting"],
)
def test_a_broken_group_is_an_error_and_leaves_no_process(function, arguments, error):
    with Workers(2) as workers:
        found, helper = run_and_watch(workers, function, **arguments)
    assert isinstance(found, DataError if function is worker_tasks.fail_on_leader else WorkerError)
    assert error in str(found)
    assert not is_alive(helper)


def test_a_helper_that_dies_while_it_imports_is_an_error():
    def kill_first_helper():
        while not (helpers := multiprocessing.active_children()):
            time.sleep(0.001)
        helpers[0].kill()

    killer = threading.Thread(target=kill_first_helper)
    killer.start()
    with pytest.raises(WorkerError, match="worker 1 died"), Workers(2):
        pytest.fail("the group must not form")
    killer.join()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("function", ["work_for_ever", "wait_for_leader"])
def test_helpers_end_silently_with_a_process_that_is_killed(function):
    """One that works by itself then, and one that waits for it."""
    script = (
        "from metanas.parallel import Workers; from support import worker_tasks as w\n"
        "with Workers(2) as workers:\n"
        "    print(workers.run(w.places), flush=True)\n"
        f"    workers.run(w.{function})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline()
    time.sleep(0.2)  # it gets to work
    process.send_signal(signal.SIGKILL)
    assert process.communicate() == ("", "")  # the helper holds them open as long as it lives
