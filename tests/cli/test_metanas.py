"""`metanas` as a user meets it: what it prints, what it leaves alone, how it exits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import metanas
from metanas.cli.profile import main as profile_main
from support.metanas_command import assert_one_clear_line, contents

TINY = "--epochs 1 --iterations 1 --tasks 1 --inner-steps 1 --train-queries 1 --workers 1".split()
SMALL = "--ways 2 --queries 2 --episodes 20".split()
SHORT = "--population 4 --rounds 1 --search-tasks 1 --first-tasks 1 --search-queries 1".split()
SHORT += "--epochs 1 --iterations 1 --tasks 1 --episodes 20 --validation-tasks 0".split()
SUPERNET = [argument for argument in SMALL if argument not in ("--episodes", "20")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a super-network that has seen one task, and Eyeriss's table."""
    folder = tmp_path_factory.mktemp("trained")
    for arguments in (
        ["-m", "metanas", "train", folder / "run", *TINY, *SUPERNET],
        ["-m", "metanas.cli.profile", "--device", "eyeriss", "--ways", "2", "--out", folder],
    ):
        subprocess.run([sys.executable, *map(str, arguments)], check=True, capture_output=True)
    return folder


def table_of(folder: Path) -> Path:
    (table,) = folder.glob("eyeriss*.tsv")
    return table


@pytest.mark.parametrize(
    "name", ["quickstart", "train", "adapt", "export", "quantise", "verify", "report"]
)
def test_every_command_explains_itself(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"metanas {name}" in out
    assert re.search(r"--help", out)


def test_a_wrong_option_is_a_usage_error(command):
    code, _, err = command("train", "--no-such-option")
    assert code == 2
    assert "--no-such-option" in err


def test_version_is_the_agents(command):
    code, out, _ = command("--version")
    assert code == 0
    assert json.loads(out) == {"metanas": metanas.__version__}


def test_adapt_export_verify_report(command, trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_bytes((trained / "run" / "run.json").read_bytes())
    supernet = trained / "run" / "supernet.safetensors"
    (run / "supernet.safetensors").write_bytes(supernet.read_bytes())
    search = "--population 4 --rounds 2 --search-tasks 1".split()
    retrain = "--epochs 1 --iterations 1 --tasks 1 --episodes 20 --validation-tasks 2".split()
    search += ["--first-tasks", 1, "--search-queries", 1, "--front", "latency_ms"]
    limits = ["--constraint", "latency_ms<=50%", "--constraint", "params<=20k"]
    arguments = ["adapt", run, "--table", table_of(trained), *limits, *search, *retrain, "--json"]
    code, _, err = command(*arguments, "--warm-start", trained / "run")
    assert code == 1
    assert_one_clear_line(err, "search.json does not exist", "metanas adapt")
    earlier = run.parent / "earlier"
    earlier.mkdir()
    (earlier / "run.json").write_bytes((run / "run.json").read_bytes())
    (earlier / "search.json").write_text(
        '{"finalists": [], "front": [{"architecture": "k1c16relu"}]}'
    )
    code, out, err = command(*arguments, "--warm-start", earlier)
    assert code == 0, err
    header, first, _ = map(json.loads, (run / "search.jsonl").read_text().splitlines())
    assert header["settings"]["front"] == ["latency_ms[eyeriss]"]
    assert header["settings"]["queries"] == 1
    assert first["architectures"][0] == "k1c16relu"
    entry = json.loads(out)
    assert entry["costs"]["params"] <= 20_000
    assert entry["deployed"]["episodes"] == 20
    assert "val_accuracy" in json.loads((run / "found.metrics.jsonl").read_text())
    result = json.loads((run / "search.json").read_text())
    assert result["winner"]["architecture"] == entry["architecture"]
    assert result["front_cost"] == "latency_ms[eyeriss]"

    code, out, err = command("export", run, "--json")
    assert code == 0, err
    assert json.loads(out)["bytes"] == (run / "model.onnx").stat().st_size

    code, out, _ = command("verify", run, "--device", "local", "--episodes", "2", "--json")
    assert code == 0
    assert json.loads(out)["latency_verdict"] == "not predicted"
    code, _, err = command("verify", run, "--device", "eyeriss")
    assert code == 1
    assert_one_clear_line(err, "eyeriss")

    code, out, err = command("report", run)
    assert code == 0, err
    assert out.rstrip().endswith(str(run / "report.html"))
    assert "architecture" in out
    assert (run / "report.html").is_file()


def test_another_seed_in_the_same_folder_is_refused(command, trained):
    before = contents(trained)
    code, _, err = command("train", trained / "run", *TINY, *SUPERNET, "--seed", 1)
    assert code == 1
    assert_one_clear_line(err, "seed was 0, not 1", "another run folder")
    assert contents(trained) == before


def test_other_epochs_in_the_same_folder_are_refused(command, trained):
    before = contents(trained)
    more = [*TINY, *SUPERNET, "--epochs", 2]
    code, _, err = command("train", trained / "run", *more)
    assert code == 1
    assert_one_clear_line(err, "epochs was 1, not 2")
    assert contents(trained) == before


def test_a_truncated_checkpoint_is_refused(command, trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_bytes((trained / "run" / "run.json").read_bytes())
    whole = (trained / "run" / "supernet.safetensors").read_bytes()
    (run / "supernet.safetensors").write_bytes(whole[: len(whole) // 2])
    before = contents(run)
    code, _, err = command("train", run, *TINY, *SUPERNET)
    assert code == 1
    assert_one_clear_line(err, "supernet.safetensors", "delete it")
    assert contents(run) == before


def test_an_impossible_constraint_names_the_cheapest_network(command, trained):
    table = table_of(trained)
    code, _, err = command(
        "adapt", trained / "run", "--table", table, "--constraint", "latency_ms<=1e-6"
    )
    assert code == 1
    assert_one_clear_line(err, "no architecture satisfies latency_ms[eyeriss]<=1e-06", "cheapest")
    assert re.search(r"k1c16\w+.* costs ", err)
    assert not (trained / "run" / "search.jsonl").exists()


def test_an_emulated_table_must_be_asked_for(command, trained, tmp_path):
    emulated = tmp_path / "emulated.tsv"
    text = table_of(trained).read_text()
    emulated.write_text(text.replace('source = "simulated"', 'source = "emulated"'))
    before = contents(trained)
    limit = ("--constraint", "latency_ms<=1e-6")  # impossible: nothing is searched
    arguments = ("adapt", trained / "run", "--table", emulated, *limit)
    code, _, err = command(*arguments)
    assert code == 1
    assert_one_clear_line(err, "emulated.tsv was timed under an emulator", "--allow-emulated")
    assert contents(trained) == before
    code, _, err = command(*arguments, "--allow-emulated")
    assert code == 1
    assert_one_clear_line(err, "no architecture satisfies latency_ms[eyeriss]<=1e-06")
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--validation-tasks", 0, "--patience", 2), "validation tasks"),
        (("--table", "nowhere.tsv"), "nowhere.tsv"),
    ],
)
def test_what_cannot_work_leaves_no_folder_behind(command, trained, tmp_path, wrong, said):
    run = tmp_path / "other"
    limit = ("--constraint", "latency_ms<=50%")
    arguments = ("adapt", run, "--supernet", trained / "run", "--table", table_of(trained), *limit)
    code, _, err = command(*arguments, *wrong)
    assert code == 1
    assert_one_clear_line(err, said)
    assert not run.exists()


def test_a_constraint_that_cannot_be_read_shows_how_to_write_one(command, trained):
    table = table_of(trained)
    arguments = ("adapt", trained / "run", "--table", table, "--constraint")
    code, _, err = command(*arguments, "fast please")
    assert code == 1
    assert_one_clear_line(err, "fast please", "latency_ms[pi0]<=20")
    code, _, err = command(*arguments, "latency_ms[pi0]<=20")
    assert code == 1
    assert_one_clear_line(err, "latency_ms[pi0]", "latency_ms[eyeriss]")


def test_a_table_that_lacks_rows_names_them(command, trained, tmp_path):
    lines = table_of(trained).read_text().splitlines(keepends=True)
    removed = next(line for line in lines if line.startswith("conv/1x28x28/c64/k5/s1/elu"))
    count = next(line for line in lines if line.startswith("# rows"))
    fewer = "".join(line for line in lines if line != removed)
    short = tmp_path / "short.tsv"
    short.write_text(fewer.replace(count, f"# rows = {int(count.split('=')[1]) - 1}\n"))
    run = tmp_path / "run"
    run.mkdir()
    for name in ("run.json", "supernet.safetensors"):
        (run / name).write_bytes((trained / "run" / name).read_bytes())
    before = contents(run)
    for limit in (("latency_ms<=20",), ("params<=20k", "--front", "latency_ms")):
        code, _, err = command("adapt", run, "--table", short, "--constraint", *limit)
        assert code == 1
        assert_one_clear_line(err, "lacks 1 row", "conv/1x28x28/c64/k5/s1/elu")
        assert contents(run) == before
    code, _, err = command("adapt", run, "--table", short, "--constraint", "params<=20k", *SHORT)
    assert code == 0, err  # nothing asks for its latencies


def test_a_table_of_another_input_size_says_so_and_how_to_make_one(command, trained, tmp_path):
    arguments = ("--device", "eyeriss", "--ways", 2, "--input", "1x32x32", "--out", tmp_path)
    made = [sys.executable, "-m", "metanas.cli.profile", *map(str, arguments)]
    subprocess.run(made, check=True, capture_output=True)
    before = contents(trained)
    for limit in ("latency_ms<=20", "params<=70k"):
        wrong = ("--table", table_of(tmp_path), "--constraint", limit)
        code, _, err = command("adapt", trained / "run", *wrong)
        assert code == 1
        assert_one_clear_line(err, "input 1x32x32, not 1x28x28", "--device eyeriss", "--ways 2")
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--closed-loop",), "no latency of a device that can be measured is limited"),
        (("--constraint", "latency_ms[eyeriss]<=1e-6"), "no architecture satisfies"),
        (("--front", "speed"), "unknown cost 'speed'"),
    ],
)
def test_a_refused_adaptation_touches_nothing(command, trained, wrong, said):
    before = contents(trained)
    arguments = ("--table", table_of(trained), "--constraint", "latency_ms<=50%", *SHORT)
    code, _, err = command("adapt", trained / "run", *arguments, *wrong)
    assert code == 1
    assert_one_clear_line(err, said)
    assert contents(trained) == before


def test_fewer_tasks_than_workers_are_refused_before_the_search(command, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run)
    made = json.loads((run / "run.json").read_text())
    made["settings"]["workers"] = 2
    (run / "run.json").write_text(json.dumps(made))
    before = contents(run)
    arguments = ("--table", table_of(trained), "--constraint", "latency_ms<=50%", *SHORT)
    code, _, err = command("adapt", run, *arguments)
    assert code == 1
    assert_one_clear_line(err, "cannot be shared by 2 workers", "--tasks 2")
    assert contents(run) == before


def test_a_table_that_is_not_named_again_is_set_aside_and_said(command, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run)
    other = table_of(trained).read_text().replace('name = "eyeriss"', 'name = "second"')
    (tmp_path / "second.tsv").write_text(other)
    limit = ("--constraint", "latency_ms[eyeriss]<=50%", *SHORT)
    tables = ("--table", table_of(trained))
    code, _, err = command("adapt", run, *tables, "--table", tmp_path / "second.tsv", *limit)
    assert code == 0, err
    code, _, err = command("adapt", run, *tables, *limit)
    assert code == 0, err
    assert "tables/unused/second.tsv" in err
    assert (run / "tables" / "unused" / "second.tsv").read_text() == other
    assert [path.name for path in (run / "tables").glob("*.tsv")] == ["eyeriss.tsv"]
    before = contents(run)
    wrong = ("--table", tmp_path / "second.tsv", "--constraint", "latency_ms[second]<=50%")
    code, _, err = command("adapt", run, *wrong, *SHORT)
    assert code == 1
    assert_one_clear_line(err, "constraints was", "another run folder")
    assert contents(run) == before  # the finished search keeps the table that it rests on


def test_the_super_network_is_no_network_to_deploy(command, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run)
    (run / "tables").mkdir()
    table = table_of(trained).read_text().replace('name = "eyeriss"', 'name = "local"')
    (run / "tables" / "local.tsv").write_text(table)
    for arguments in (("export", run), ("verify", run, "--device", "local")):
        code, _, err = command(*arguments, "--name", "supernet")
        assert code == 1
        assert_one_clear_line(err, "is the super-network", "metanas adapt")


def test_a_folder_that_is_no_run(command, tmp_path):
    for arguments in (("export", tmp_path), ("report", tmp_path)):
        code, _, err = command(*arguments)
        assert code == 1
        assert_one_clear_line(err, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_broken_zip_is_named(command, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("images_background.zip", "images_evaluation.zip"):
        with zipfile.ZipFile(data / name, "w") as archive:
            archive.writestr("images_background/Greek/character01/0001_01.png", b"x" * 5000)
        whole = (data / name).read_bytes()
        (data / name).write_bytes(whole[:1000])
    run = tmp_path / "run"
    code, _, err = command("train", run, "--data", "omniglot", "--data-root", data, *TINY)
    assert code == 1
    assert_one_clear_line(err, "images_background.zip")
    assert not run.exists()


def make_class_folders(root: Path, classes: int, images: int) -> None:
    for number in range(classes):
        folder = root / f"class{number}"
        folder.mkdir(parents=True)
        for image in range(images):
            Image.new("L", (28, 28), 40 * image % 256).save(folder / f"{image}.png")


def test_fewer_images_than_a_task_needs(command, tmp_path):
    make_class_folders(tmp_path / "data", classes=20, images=3)
    run = tmp_path / "run"
    code, _, err = command(
        "train", run, "--data", "folder", "--data-root", tmp_path / "data", *TINY, "--ways", 2
    )
    assert code == 1
    assert_one_clear_line(err, "3 images", "1 shots + 15 queries")
    assert not run.exists()


def test_a_users_own_pictures_are_scaled_as_asked(command, tmp_path):
    make_class_folders(tmp_path / "data", classes=20, images=4)
    own = ("--data", "folder", "--data-root", tmp_path / "data", "--grey", "--image-size")
    few = [*TINY, "--ways", 2, "--queries", 2, "--episodes", 20, "--validation-tasks", 0]
    one = ("--architecture", "k1c16relu")
    code, _, err = command("train", tmp_path / "no", *own, "84", *few, *one)
    assert code == 1
    assert_one_clear_line(err, "'84'", "84x84")
    assert not (tmp_path / "no").exists()
    code, _, err = command("train", tmp_path / "run", *own, "12x16", *few, *one)
    assert code == 0, err
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["baseline"]["costs"]["macs"] == 12 * 16 * 16 + 16 * 25 * 2


def test_an_empty_class_folder_is_named(command, tmp_path):
    make_class_folders(tmp_path / "data", classes=20, images=3)
    (tmp_path / "data" / "empty one").mkdir()
    code, _, err = command(
        "train", tmp_path / "run", "--data", "folder", "--data-root", tmp_path / "data", *TINY
    )
    assert code == 1
    assert_one_clear_line(err, "empty one")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path):
    """On a real file system of 1 MB, mounted in a namespace of the command's own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    mount = f"mount -t tmpfs -o size=1m none {disk}"
    if subprocess.run([*namespace, mount], check=False, capture_output=True).returncode:
        pytest.skip("this system does not let a user mount a file system of their own")
    train = [sys.executable, "-m", "metanas", "train", disk / "run", *TINY, *SUPERNET]
    script = f"{mount}; {' '.join(map(str, train))} || code=$?; ls -A {disk}/run; exit $code"
    done = subprocess.run([*namespace, script], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    full = f"the disk is full: {disk}/run/supernet.safetensors"
    assert_one_clear_line(done.stderr, full, "free some space")
    assert done.stdout.split() == ["run.json", "supernet.metrics.jsonl"]


def test_an_unknown_device_lists_the_known_ones(command, tmp_path):
    code, _, err = command("--device", "toaster", "--out", tmp_path, entry=profile_main)
    assert code == 1
    assert_one_clear_line(err, "toaster", "eyeriss, eyeriss-rs, local")
    assert list(tmp_path.iterdir()) == []
