from __future__ import annotations

import dataclasses
import json
from functools import partial

import numpy as np
import pytest

from metanas.deploy import (
    AdaptedNetwork,
    Network,
    PeakMemory,
    Prediction,
    compare,
    read_verification,
    verify,
    write_verification,
)
from metanas.errors import ExportError, MeasurementFailedError, RunFolderError
from metanas_agent.timer import TimerSettings

SETTINGS = TimerSettings(budget_ms=20, seed=3)
NETWORK = Network(name="found", architecture="k3c16relu")
verify_found = partial(verify, settings=SETTINGS, network=NETWORK)


def promise(latency_ms):
    return Prediction(latency_ms=latency_ms, low_ms=0, high_ms=2 * latency_ms, source="measured")


def test_exported_networks_pass_on_a_device(make_device, networks, predicted):
    done = []
    verification = verify_found(
        make_device(),
        networks,
        predicted=predicted,
        on_verified=done.append,
    )
    assert verification.outputs_pass
    assert verification.network.architecture == NETWORK.architecture
    assert verification.agreement.networks == 3
    assert verification.agreement.images == 24
    assert verification.agreement.top1 == 1
    assert verification.agreement.p999_share <= verification.agreement.largest_share < 1e-5
    assert verification.device_accuracy == verification.host_accuracy
    assert verification.device_accuracy.episodes == 3
    assert (verification.network.dtype, verification.network.depth) == ("float32", 5)
    assert verification.provenance["seed"] == 3
    assert done == [1, 2, 3]


def test_accuracy_is_over_all_networks(make_device, networks, predicted):
    first, second, _ = networks
    right = dataclasses.replace(first, labels=first.host_logits.argmax(1))
    wrong = dataclasses.replace(second, labels=second.host_logits.argmin(1))
    flipped = make_device(tamper=lambda outputs: -outputs)
    both = [right, wrong]
    straight = verify_found(make_device(), both, predicted=predicted)
    assert straight.host_accuracy == straight.device_accuracy
    assert straight.host_accuracy.accuracy == 0.5
    assert straight.host_accuracy.interval == pytest.approx(1.959964 * 0.5)
    spoiled = verify_found(flipped, [right], predicted=predicted)
    assert (spoiled.host_accuracy.accuracy, spoiled.device_accuracy.accuracy) == (1, 0)
    assert spoiled.host_accuracy.interval is None
    assert "100.0 points below the host's" in spoiled.reasons[1]
    assert spoiled.agreement.disagreements == 8


def test_wrong_outputs_fail_and_say_by_how_much(make_device, networks, predicted):
    device = make_device(tamper=lambda outputs: outputs[:, ::-1])
    verification = verify_found(device, networks, predicted=predicted)
    assert not verification.passed
    assert "logits differ by up to" in verification.reasons[0]
    assert f"{verification.agreement.disagreements} of 24 images" in verification.reasons[0]


def test_slow_device_is_off_but_its_outputs_pass(make_device, networks):
    fast = verify_found(make_device(), networks, predicted=promise(1e3))
    slow = verify_found(make_device(factor=1e6), networks, predicted=promise(1e-3))
    for verification in (fast, slow):
        assert verification.outputs_pass
        assert not verification.passed
        assert verification.latency_verdict == "off"
        assert "times the predicted one" in verification.reasons[0]
    assert fast.ratio < 1 < slow.ratio


def test_latency_within_its_tolerance_is_as_predicted(make_device, networks):
    first = verify_found(make_device(), networks, predicted=promise(1))
    near = dataclasses.replace(first, predicted=promise(first.measured.median_ms * 1.2))
    far = dataclasses.replace(first, predicted=promise(first.measured.median_ms / 1.3))
    assert (near.latency_verdict, near.reasons) == ("as predicted", ())
    assert far.latency_verdict == "off"
    slow = dataclasses.replace(far, slowdown=1.3)
    assert slow.latency_verdict == "as predicted for its pace"
    assert slow.passed
    (remark,) = slow.remarks
    assert "1.30 times the predicted one" in remark
    assert "1.30 times as slow" in remark
    assert dataclasses.replace(far, slowdown=0.9).latency_verdict == "off"
    assert dataclasses.replace(near, slowdown=2.0).latency_verdict == "as predicted"


def test_middle_measurement_stands_for_the_architecture(make_device, networks, predicted):
    verification = verify_found(make_device(), networks, predicted=predicted)
    assert verification.measured.median_ms == sorted(verification.medians_ms)[1]


def test_runs_are_compared_at_equal_pace(make_device, networks, predicted):
    paces = iter([1.0, 1.0, 199.0, 19_801.0])  # three runs: as fast as then, 100 and 10,000 slower
    verification = verify_found(
        make_device(),
        networks,
        predicted=predicted,
        pace=lambda: next(paces),
    )
    assert verification.slowdown == 100
    assert verification.measured.median_ms == verification.medians_ms[1]


def test_throttled_device_proves_no_latency(make_device, networks, predicted):
    device = make_device(verdict="throttled")
    verification = verify_found(device, networks, predicted=predicted)
    assert verification.outputs_pass
    assert not verification.passed
    assert verification.latency_verdict == "throttled"
    assert "throttled" in verification.reasons[0]
    assert "3 of 3" in verification.notes[0]


def test_ties_within_the_tolerance_are_noted_not_failed(make_device, model, networks, predicted):
    host = networks[0].host_logits.copy()
    best, second = np.argsort(host, axis=1)[:, :-3:-1].T
    rows = np.arange(len(host))
    host[rows, second] = host[rows, best]
    tied = dataclasses.replace(networks[0], host_logits=host)

    def tip(_):
        outputs = host.copy()
        outputs[rows, np.maximum(best, second)] += 1e-6 * np.ptp(host)
        return outputs

    verification = verify_found(make_device(tamper=tip), [tied], predicted=None)
    assert verification.outputs_pass
    assert verification.agreement.top1 == 0
    assert "tie within the tolerance" in verification.notes[0]


def test_memory_is_held_against_what_was_promised(make_device, networks):
    def verdict(memory_bytes, taken_bytes):
        first = verify_found(make_device(), networks[:1], predicted=None)
        promised = dataclasses.replace(promise(1), memory_bytes=memory_bytes)
        memory = PeakMemory(process_bytes=50_000_000 + taken_bytes, runtime_bytes=50_000_000)
        return dataclasses.replace(
            first,
            predicted=promised,
            measured=dataclasses.replace(
                first.measured,
                **dict.fromkeys(("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), 1.0),
            ),
            memory=memory,
        )

    kept, broken = verdict(1_000_000, 6_000_000), verdict(1_000_000, 60_000_000)
    assert (kept.memory_verdict, kept.reasons) == ("as promised", ())
    assert broken.memory_verdict == "above"
    (reason,) = broken.reasons
    assert "took 60000000 bytes" in reason
    assert "promised were 1000000:" in reason
    untold = dataclasses.replace(broken, memory=None)
    assert untold.passed
    assert untold.memory_verdict == "unknown"


def test_memory_of_the_runtime_is_told_apart(make_device, networks):
    memory = verify_found(make_device(), networks[:1], predicted=None).memory
    assert memory == PeakMemory(process_bytes=1_000_000, runtime_bytes=1_000_000)
    assert memory.network_bytes == 0


def test_only_some_networks_are_timed_but_all_are_compared(make_device, networks):
    budgets = []
    device = make_device()
    run_model = device.run_model
    device.run_model = lambda model, images, settings: (
        budgets.append(settings.budget_ms) or run_model(model, images, settings)
    )
    paces = iter([1.0, 1.0, 1.0])
    verification = verify_found(device, networks, predicted=None, timed=2, pace=lambda: next(paces))
    assert budgets == [20, 20, 1, 1]  # the last is of the runtime's own memory
    assert len(verification.medians_ms) == 2
    assert verification.agreement.networks == 3
    assert verification.device_accuracy.episodes == 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda n: {"images": n.images[:, :, :20]}, "takes images of 1x28x28, given are 1x20x28"),
        (lambda n: {"images": n.images[:0]}, "0 images, 8 labels and 8 rows"),
        (lambda n: {"labels": n.labels[:3]}, "8 images, 3 labels"),
        (lambda n: {"host_logits": n.host_logits[:3]}, "and 3 rows"),
        (lambda n: {"host_logits": n.host_logits * np.nan}, "not finite"),
        (lambda n: {"model": n.model[:1000]}, "not an ONNX model"),
    ],
)
def test_bad_input_is_refused_before_the_device_is_asked(networks, predicted, spoil, message):
    spoiled = dataclasses.replace(networks[0], **spoil(networks[0]))
    with pytest.raises(ExportError, match=message):
        verify_found(None, [networks[1], spoiled], predicted=predicted)


def test_no_network_is_refused(make_device, predicted):
    with pytest.raises(ExportError, match="no network"):
        verify_found(make_device(), [], predicted=predicted)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda outputs: outputs[:, :3], "answered outputs of 8x3, the host has 8x5"),
        (lambda outputs: outputs * np.inf, "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_impossible_answers_are_the_devices_failure(
    make_device, networks, predicted, tamper, message
):
    with pytest.raises(MeasurementFailedError, match=message):
        verify_found(make_device(tamper=tamper), networks, predicted=predicted)


def test_written_verification_reads_back(make_device, networks, predicted, tmp_path):
    verification = verify_found(make_device(), networks, predicted=predicted)
    path = tmp_path / "verify.json"
    write_verification(path, verification)
    assert read_verification(path) == verification
    written = json.loads(path.read_text())
    assert written["passed"] is verification.passed
    assert written["reasons"] == list(verification.reasons)
    assert written["ratio"] == verification.ratio


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "{", '{"agreement": 3}'])
def test_broken_file_is_named(tmp_path, text):
    path = tmp_path / "verify.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunFolderError, match=r"verify\.json"):
        read_verification(path)


def test_shares_are_of_each_networks_own_range():
    wide = np.array([[0, 100]], np.float32)
    narrow = np.array([[0, 1]], np.float32)
    agreement = compare([(wide, wide + np.float32(1)), (narrow, narrow + np.float32(0.1))])
    assert agreement.largest_difference == 1
    assert agreement.largest_share == pytest.approx(0.1)
    assert not agreement.within


def test_constant_logits_agree_with_themselves():
    constant = np.full((2, 3), 7, np.float32)
    assert compare([(constant, constant)]).within
    assert not compare([(constant, constant * np.float32(1.1))]).within


def test_adapted_network_is_a_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AdaptedNetwork(model=b"", images=None, labels=None, host_logits=None).model = b"x"
