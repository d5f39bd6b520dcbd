"""The whole loop in miniature; each test goes on from what the one before it has left."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from metanas.errors import (
    ArchitectureError,
    CheckpointError,
    RunFolderError,
    SettingsMismatchError,
)
from metanas.meta import OuterSettings, load_checkpoint
from metanas.parallel import Workers
from metanas.profiling import read_table
from metanas.runs import (
    FOUND,
    SUPERNET,
    RunFolder,
    evaluate_network,
    export,
    load_trained,
    outer_settings,
    predict,
    search,
    train_network,
    train_supernet,
)
from metanas.search import SearchSettings, ShrinkingSettings

OUTER = OuterSettings(epochs=2, iterations=2, tasks=2, inner_steps=2, first_order_share=0.5)
SHRINKING = ShrinkingSettings(start_epoch=1, end_epoch=2, final=0.1)
SEARCH = SearchSettings(
    population=4, rounds=2, tasks=2, finalists=2, final_tasks=2, elite_share=0.5
)
LIMITS = ("latency_ms<=30%", "params<=50k")

pytestmark = pytest.mark.usefixtures("one_thread")


def never(*what):
    raise AssertionError(f"work was done again: {what}")


def written(*paths):
    return [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths]


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as one:
        yield one


class TestWholeLoop:
    def test_nothing_can_be_done_before_its_time(self, workers, folder):
        with pytest.raises(CheckpointError, match="metanas train"):
            search(workers, folder, LIMITS[1:], SEARCH)
        with pytest.raises(CheckpointError):
            evaluate_network(workers, folder, FOUND, episodes=2)
        with pytest.raises(CheckpointError):
            export(folder)
        assert [path.name for path in folder.path.iterdir()] == ["run.json"]

    def test_the_super_network_is_trained(self, workers, folder):
        seen = []

        def stop_in_the_second_epoch(line):
            seen.append(line["step"])
            if line["step"] == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_supernet(workers, folder, OUTER, SHRINKING, observer=stop_in_the_second_epoch)
        with pytest.raises(RunFolderError, match="step 2 of 4"):
            load_trained(folder, SUPERNET)
        train_supernet(
            workers, folder, OUTER, SHRINKING, observer=lambda line: seen.append(line["step"])
        )
        assert seen == [0, 1, 2, 2, 3]

        files = folder.training(SUPERNET)
        lines = [json.loads(line) for line in files.metrics.read_text().splitlines()]
        assert [line["step"] for line in lines] == [0, 1, 2, 3]
        assert {line["architecture"] for line in lines[:2]} == {"-".join(["k5c64relu"] * 4)}
        checkpoint = load_checkpoint(files.checkpoint)
        assert checkpoint.step == 4
        assert checkpoint.settings["data"] == "glyphs"
        assert outer_settings(checkpoint.settings) == OUTER
        assert "head1.weight" in checkpoint.parameters.adapted

    def test_ended_training_is_not_done_again(self, workers, folder):
        files = folder.training(SUPERNET)
        before = written(files.checkpoint, files.metrics)
        train_supernet(workers, folder, OUTER, SHRINKING, observer=never)
        assert written(files.checkpoint, files.metrics) == before
        with pytest.raises(SettingsMismatchError, match="inner_steps was 2, not 3"):
            train_supernet(workers, folder, replace(OUTER, inner_steps=3), SHRINKING)
        assert written(files.checkpoint, files.metrics) == before

    def test_a_table_is_kept_by_the_name_of_its_device(self, folder, table_file):
        folder.keep_table(table_file)
        assert folder.tables == {"array": folder.path / "tables" / "array.tsv"}
        assert read_table(folder.table("array")).rows == read_table(table_file).rows

    def test_an_architecture_is_found(self, workers, folder):
        seen = []
        result = search(workers, folder, LIMITS, SEARCH, observer=seen.append)
        assert [line.round for line in seen] == [0, 1]
        found = json.loads(folder.search.read_text())
        assert found["winner"]["architecture"] == result.winner.architecture
        assert found["front_cost"] == "latency_ms[array]"
        assert found["front_costs"] == ["latency_ms[array]"]
        assert found["evaluated"] == result.evaluated
        assert found["evaluations"] == sum(line.evaluations for line in seen)
        latency, params = found["constraints"]
        assert latency["device"] == "array"
        assert params["limit"] == 50_000
        for candidate in found["front"] + found["finalists"]:
            assert candidate["costs"]["latency_ms[array]"] <= latency["limit"]
            assert candidate["costs"]["params"] <= params["limit"]

    def test_an_ended_search_is_not_done_again(self, workers, folder):
        before = written(folder.search_journal)
        first = json.loads(folder.search.read_text())
        search(workers, folder, LIMITS, SEARCH, observer=never)
        assert written(folder.search_journal) == before
        again = json.loads(folder.search.read_text())
        assert first | {"provenance": 0} == again | {"provenance": 0}
        with pytest.raises(SettingsMismatchError, match="rounds was 2, not 3"):
            search(workers, folder, LIMITS, replace(SEARCH, rounds=3))
        with pytest.raises(SettingsMismatchError, match="constraints was"):
            search(workers, folder, LIMITS[:1], SEARCH)
        assert written(folder.search_journal) == before
        assert json.loads(folder.search.read_text()) == again

    def test_the_found_network_is_trained_from_scratch(self, workers, folder):
        found = json.loads(folder.search.read_text())["winner"]["architecture"]
        train_network(workers, folder, FOUND, found, OUTER)
        files = folder.training(FOUND)
        assert load_checkpoint(files.checkpoint).settings["architecture"] == found
        before = written(files.checkpoint, files.metrics)
        train_network(workers, folder, FOUND, found, OUTER, observer=never)
        assert written(files.checkpoint, files.metrics) == before
        with pytest.raises(SettingsMismatchError, match="architecture was"):
            train_network(workers, folder, FOUND, "k1c64selu", OUTER)
        with pytest.raises(ArchitectureError):
            train_network(workers, folder, "other", "k7c64relu", OUTER)
        assert written(files.checkpoint, files.metrics) == before
        assert not folder.training("other").checkpoint.exists()

    def test_networks_are_evaluated_side_by_side(self, workers, folder, table_file):
        train_network(workers, folder, "baseline", "k1c64relu", OUTER)
        done = []
        entry = evaluate_network(workers, folder, FOUND, episodes=40, observer=done.append)
        other = evaluate_network(workers, folder, "baseline", episodes=20)
        assert sorted(set(done)) == [20, 40]
        kept = json.loads(folder.evaluation.read_text())
        assert kept == {FOUND: entry, "baseline": other}
        assert other["architecture"] == "k1c64relu"
        for norm in ("deployed", "transductive"):
            assert entry[norm]["episodes"] == 40
            assert 0 < entry[norm]["accuracy"] <= 1
            assert 0 < entry[norm]["interval"] < 0.5
        space = folder.settings.make_space(folder.settings.load_data())
        promised = predict(space, "k1c64relu", read_table(table_file))
        assert other["costs"]["latency_ms[array]"] == pytest.approx(promised.latency_ms)
        assert promised.low_ms <= promised.latency_ms <= promised.high_ms
        assert promised.source == "simulated"

    def test_the_exported_model_says_what_the_host_says(self, folder):
        adapted = export(folder, tasks=2)
        assert folder.model.read_bytes() == adapted[0].model
        assert adapted[0].model != adapted[1].model
        for network in adapted:
            assert network.images.shape == (6, 1, 28, 28)
            session = onnxruntime.InferenceSession(
                network.model, providers=["CPUExecutionProvider"]
            )
            name = session.get_inputs()[0].name
            logits = [session.run(None, {name: image[None]})[0][0] for image in network.images]
            assert np.allclose(logits, network.host_logits, atol=1e-3)

    def test_the_folder_holds_all_of_it(self, folder):
        assert RunFolder.open(folder.path) == folder
        assert {str(path.relative_to(folder.path)) for path in folder.path.rglob("*.*")} == {
            "run.json",
            "supernet.safetensors",
            "supernet.metrics.jsonl",
            "tables/array.tsv",
            "search.jsonl",
            "search.json",
            "found.safetensors",
            "found.metrics.jsonl",
            "baseline.safetensors",
            "baseline.metrics.jsonl",
            "evaluation.json",
            "model.onnx",
        }
