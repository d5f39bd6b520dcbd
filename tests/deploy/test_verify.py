from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from metanas.deploy import (
    AdaptedNetwork,
    Network,
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


def promise(latency_ms):
    return Prediction(latency_ms=latency_ms, low_ms=0, high_ms=2 * latency_ms, source="measured")


def test_exported_networks_pass_on_a_device(make_device, networks, predicted):
    done = []
    verification = verify(
        make_device(),
        networks,
        network=NETWORK,
        predicted=predicted,
        settings=SETTINGS,
        on_verified=done.append,
    )
    assert verification.passed
    assert verification.network == NETWORK
    assert verification.agreement.networks == 3
    assert verification.agreement.images == 24
    assert verification.agreement.top1 == 1
    assert verification.agreement.p999_share <= verification.agreement.largest_share < 1e-5
    assert verification.device_accuracy == verification.host_accuracy
    assert verification.provenance["seed"] == 3
    assert done == [1, 2, 3]


def test_accuracy_is_over_all_networks(make_device, networks, predicted):
    first, second, _ = networks
    right = dataclasses.replace(first, labels=first.host_logits.argmax(1))
    wrong = dataclasses.replace(second, labels=second.host_logits.argmin(1))
    flipped = make_device(tamper=lambda outputs: -outputs)
    both = [right, wrong]
    straight = verify(make_device(), both, predicted=predicted, settings=SETTINGS, network=NETWORK)
    assert straight.host_accuracy == straight.device_accuracy == 0.5
    spoiled = verify(flipped, [right], predicted=predicted, settings=SETTINGS, network=NETWORK)
    assert (spoiled.host_accuracy, spoiled.device_accuracy) == (1, 0)
    assert spoiled.agreement.disagreements == 8


def test_wrong_outputs_fail_and_say_by_how_much(make_device, networks, predicted):
    device = make_device(tamper=lambda outputs: outputs[:, ::-1])
    verification = verify(device, networks, predicted=predicted, settings=SETTINGS, network=NETWORK)
    assert not verification.passed
    assert "logits differ by up to" in verification.reasons[0]
    assert f"{verification.agreement.disagreements} of 24 images" in verification.reasons[0]


def test_slow_device_is_off_but_its_outputs_pass(make_device, networks):
    fast = verify(
        make_device(), networks, predicted=promise(1e3), settings=SETTINGS, network=NETWORK
    )
    slow = verify(
        make_device(factor=1e6),
        networks,
        predicted=promise(1e-3),
        settings=SETTINGS,
        network=NETWORK,
    )
    for verification in (fast, slow):
        assert verification.passed
        assert verification.latency_verdict == "off"
        assert "times the predicted one" in verification.reasons[0]
    assert fast.ratio < 1 < slow.ratio


def test_latency_within_its_tolerance_is_as_predicted(make_device, networks):
    first = verify(
        make_device(), networks, predicted=promise(1), settings=SETTINGS, network=NETWORK
    )
    near = dataclasses.replace(first, predicted=promise(first.measured.median_ms * 1.2))
    far = dataclasses.replace(first, predicted=promise(first.measured.median_ms / 1.3))
    assert (near.latency_verdict, near.reasons) == ("as predicted", ())
    assert far.latency_verdict == "off"
    slow = dataclasses.replace(far, slowdown=1.3)
    assert slow.latency_verdict == "as predicted for its pace"
    (reason,) = slow.reasons
    assert "1.30 times the predicted one" in reason
    assert "1.30 times as slow" in reason
    assert dataclasses.replace(far, slowdown=0.9).latency_verdict == "off"
    assert dataclasses.replace(near, slowdown=2.0).latency_verdict == "as predicted"


def test_middle_measurement_stands_for_the_architecture(make_device, networks, predicted):
    verification = verify(
        make_device(), networks, predicted=predicted, settings=SETTINGS, network=NETWORK
    )
    assert verification.measured.median_ms == sorted(verification.medians_ms)[1]


def test_runs_are_compared_at_equal_pace(make_device, networks, predicted):
    paces = iter([1.0, 1.0, 199.0, 19_801.0])  # three runs: as fast as then, 100 and 10,000 slower
    verification = verify(
        make_device(),
        networks,
        network=NETWORK,
        predicted=predicted,
        settings=SETTINGS,
        pace=lambda: next(paces),
    )
    assert verification.slowdown == 100
    assert verification.measured.median_ms == verification.medians_ms[1]


def test_throttled_device_proves_no_latency(make_device, networks, predicted):
    device = make_device(verdict="throttled")
    verification = verify(device, networks, predicted=predicted, settings=SETTINGS, network=NETWORK)
    assert verification.passed
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

    verification = verify(
        make_device(tamper=tip), [tied], predicted=predicted, settings=SETTINGS, network=NETWORK
    )
    assert verification.passed
    assert verification.agreement.top1 == 0
    assert "tie within the tolerance" in verification.notes[0]


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
        verify(
            None, [networks[1], spoiled], predicted=predicted, settings=SETTINGS, network=NETWORK
        )


def test_no_network_is_refused(make_device, predicted):
    with pytest.raises(ExportError, match="no network"):
        verify(make_device(), [], predicted=predicted, settings=SETTINGS, network=NETWORK)


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
        verify(
            make_device(tamper=tamper),
            networks,
            predicted=predicted,
            settings=SETTINGS,
            network=NETWORK,
        )


def test_written_verification_reads_back(make_device, networks, predicted, tmp_path):
    verification = verify(
        make_device(), networks, predicted=predicted, settings=SETTINGS, network=NETWORK
    )
    path = tmp_path / "verify.json"
    write_verification(path, verification)
    assert read_verification(path) == verification
    written = json.loads(path.read_text())
    assert written["passed"] is True
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
