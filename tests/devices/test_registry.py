import os
import signal
from contextlib import closing

import pytest
import torch

from metanas.devices import (
    Address,
    AgentProfile,
    BoardProfile,
    LocalProfile,
    SimulatorProfile,
    device_names,
    device_profile,
    open_device,
    profiles_folder,
    read_profile,
)
from metanas.errors import DeviceProfileError, RuntimeUnavailableError, UnknownDeviceError
from metanas.native import find_target
from metanas_agent.layers import ConvLayer, EmptyLayer
from metanas_agent.timer import TimerSettings
from support.agent_process import AgentProcess, children


@pytest.fixture
def mine(monkeypatch, tmp_path):
    """Write a file among the user's own devices."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "metanas" / "devices"
    folder.mkdir(parents=True)

    def write(name, text):
        file = folder / f"{name}.toml"
        file.write_text(text)
        return file

    return write


def test_local_is_always_known(mine):
    assert "local" in device_names()
    profile = device_profile("local")
    assert isinstance(profile, LocalProfile)
    assert profile.description


def test_every_profile_that_metanas_brings_can_be_read(mine):
    files = sorted((profiles_folder() / "devices").glob("*.toml"))
    assert files
    for file in files:
        assert read_profile(file).description


def test_boards_have_targets_that_there_are(mine):
    boards = {name: device_profile(name) for name in ("pi0", "pi4", "pi4-32")}
    for board in boards.values():
        assert isinstance(board, BoardProfile)
        assert set(board.abis) <= set(find_target(board.target).machines)
    assert {name: board.runtime for name, board in boards.items()} == {
        "pi0": "native",
        "pi4": "onnx",
        "pi4-32": "native",
    }


def test_this_machine_runs_programs_that_are_compiled_for_it(mine):
    pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")
    settings = TimerSettings(budget_ms=2.0, min_samples=6)
    with closing(open_device("local-native")) as device:
        (row,) = device.measure([ConvLayer(3, 8, 8, out_channels=8, kernel=3)], settings)
    assert (row.runtime, row.source) == ("native", "measured")
    assert row.median_ms > 0


def test_a_gpu_host_is_used_through_its_accelerator(mine):
    remote, here = device_profile("gpu-host"), device_profile("local-cuda")
    assert (remote.runtime, remote.accelerator) == ("torch", "cuda")
    assert (here.runtime, here.accelerator) == ("torch", "cuda")


def test_without_a_gpu_its_device_says_so(mine):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with closing(open_device("local-cuda")) as device:
        assert "there is no CUDA device" in device.describe().unavailable["torch"]
        with pytest.raises(RuntimeUnavailableError, match="there is no CUDA device"):
            list(device.measure([EmptyLayer(1, 1, 1)], TimerSettings()))


def test_users_add_devices_of_their_own(mine):
    mine("kitchen", 'kind = "agent"\naddress = "[::1]:7000"\nruntime = "onnx"\n')
    assert "kitchen" in device_names()
    assert device_profile("kitchen") == AgentProfile("", Address("::1", 7000), "onnx")


def test_users_replace_devices(mine):
    mine("local", 'kind = "local"\ndescription = "mine"\n')
    assert device_profile("local") == LocalProfile("mine", "onnx")
    assert device_names().count("local") == 1


def test_without_xdg_the_home_folder_is_looked_into(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".config/metanas/devices"
    folder.mkdir(parents=True)
    (folder / "attic.toml").write_text('kind = "local"')
    assert "attic" in device_names()


def test_simulators_get_their_own_fields(mine):
    mine("array", 'kind = "simulator"\nbackend = "eyeriss"\nrows = 12\ndescription = "x"\n')
    assert device_profile("array") == SimulatorProfile("x", {"backend": "eyeriss", "rows": 12})


def test_an_unknown_name_lists_the_known_ones(mine):
    mine("kitchen", 'kind = "local"')
    with pytest.raises(UnknownDeviceError, match=r"'bathroom'.*kitchen, .*HOST:PORT"):
        open_device("bathroom")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind = ", "Invalid value"),
        ("\xff\xfe", "Invalid"),
        ("", "kind is None"),
        ('kind = "toaster"', "local, agent, board, simulator"),
        ("kind = 3", "kind is 3"),
        ("kind = ['agent']", "kind is"),
        ('kind = "local"\ncolour = "red"', "unknown field 'colour'"),
        ('kind = "local"\nruntime = 3', "runtime is 3"),
        ('kind = "agent"', "no agent's address"),
        ('kind = "agent"\naddress = 7431', "address is 7431"),
        ('kind = "agent"\naddress = "kitchen"', "no agent's address"),
        ('kind = "simulator"', "backend is None"),
        ('kind = "simulator"\nbackend = "x"\ndescription = 1', "description is 1"),
        ('kind = "board"\ncpu = "x"', "a board needs cpu and abis"),
        ('kind = "board"\nabis = ["x"]', "a board needs cpu and abis"),
        ('kind = "board"\ncpu = "x"\nabis = "x"', "abis is 'x'"),
        ('kind = "board"\ncpu = "x"\nabis = ["x"]\nmodels = [3]', r"models is \[3\]"),
        ('kind = "board"\ncpu = "x"\nabis = ["x"]\nruntime = "native"', "needs a target"),
        ('kind = "local"\nruntime = "native"', "needs a target"),
        ('kind = "local"\naccelerator = "abacus"', "accelerator is 'abacus'"),
        ('kind = "board"\ncpu = "x"\nabis = ["x"]\naddress = "x:1"', "unknown field 'address'"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(mine, text, complaint):
    file = mine("broken", text)
    with pytest.raises(DeviceProfileError, match=complaint) as caught:
        open_device("broken")
    assert str(file) in caught.value.what
    assert "broken" in device_names()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7431", Address("127.0.0.1", 7431)),
        ("board.local:1", Address("board.local", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("board:0", None),
        ("board:65536", None),
        ("board", None),
        (":7431", None),
        ("::1:7431", None),
        ("http://board:7431", None),
        ("board:7431\n", None),
    ],
)
def test_addresses(text, address):
    assert Address.parse(text) == address


def test_opens_the_local_agent_and_starts_it_again_if_it_is_killed(mine):
    said = []
    with closing(open_device("local", on_wait=said.append)) as device:
        assert device.name == device.describe().name == "local"
        (agent,) = children(os.getpid())
        os.kill(agent, signal.SIGKILL)
        assert device.describe().name == "local"
        (another,) = children(os.getpid())
        assert another != agent
    assert said[0].startswith("lost local: ")
    assert not children(os.getpid())


def test_opens_an_agent_by_its_address(mine):
    with AgentProcess() as agent:
        device = open_device(f"127.0.0.1:{agent.port}")
        assert device.describe().name == f"127.0.0.1:{agent.port}"
        device.close()


@pytest.mark.parametrize("by_file", [False, True])
def test_an_agent_that_is_killed_and_comes_back_is_asked_again(mine, by_file):
    said = []
    with AgentProcess("--runtime", "onnx") as agent:
        name = address = f"127.0.0.1:{agent.port}"
        if by_file:
            name = "kitchen"
            mine(name, f'kind = "agent"\naddress = "{address}"\nruntime = "onnx"\n')
        with closing(open_device(name, on_wait=said.append)) as device:
            agent.kill()
            with AgentProcess("--runtime", "onnx", port=agent.port):
                assert device.describe().name == name
    assert said[0].startswith(f"lost {name}: ")
