from metanas_agent.sampler import clocked
from metanas_agent.sentinel import Sentinel


class Machine:
    """A clock that the work moves on, by as much as the machine is slow."""

    def __init__(self, work_ns=10_000):
        self.work_ns = work_ns
        self.interruption_ns = 0
        self.now_ns = 0

    def call(self):
        self.now_ns += self.work_ns + self.interruption_ns
        self.interruption_ns = 0

    def sentinel(self):
        return Sentinel(clocked(self.call, clock_ns=lambda: self.now_ns))


def test_a_machine_at_its_best_is_not_complained_of():
    machine = Machine()
    sentinel = machine.sentinel()
    assert sentinel.complaint() == ""
    machine.work_ns = 10_900
    assert sentinel.complaint() == ""


def test_a_slow_machine_is_while_it_is_slow():
    machine = Machine()
    sentinel = machine.sentinel()
    machine.work_ns = 13_000
    assert sentinel.complaint() == "the machine ran 30% slower than at its best"
    machine.work_ns = 10_000
    assert sentinel.complaint() == ""


def test_a_machine_that_gets_faster_is_held_to_it():
    machine = Machine()
    sentinel = machine.sentinel()
    machine.work_ns = 8_000
    assert sentinel.complaint() == ""
    machine.work_ns = 10_000
    assert "25% slower" in sentinel.complaint()


def test_one_interruption_is_no_reason_to_complain():
    machine = Machine()
    sentinel = machine.sentinel()
    machine.interruption_ns = 500_000
    assert sentinel.complaint() == ""


def test_a_clock_that_does_not_move_is_no_reason_to_fail():
    machine = Machine(work_ns=0)
    sentinel = machine.sentinel()
    assert sentinel.complaint() == ""
    machine.work_ns = 10_000
    assert "slower" in sentinel.complaint()
