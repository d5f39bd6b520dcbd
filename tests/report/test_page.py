from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from metanas.report import read_run, write_report
from metanas.report.html import winning_chain

VOID = {"meta", "br", "link", "hr", "img", "input"}


class Page(HTMLParser):
    """Text, ids and tags of a page; complains of tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def written(whole_run):
    path = write_report(whole_run)
    assert path == whole_run / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(written):
    return Page(written)


def test_page_needs_nothing_from_outside(written, page):
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe", "image"}
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert "http" not in written
    assert "@import" not in written


def test_ids_are_unique_and_every_reference_leads_somewhere(written, page):
    assert [name for name, times in Counter(page.ids).items() if times > 1] == []
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', written)
    assert {a or b for a, b in references} <= set(page.ids)


def test_all_five_charts_are_there_and_described(page):
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(charts) == 5
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in charts)


def test_validation_is_drawn_where_there_was_any(written):
    assert "found, validation" in written
    assert "supernet, validation" not in written


def test_charts_take_their_colours_from_the_page(written):
    assert "var(--accent)" in written
    assert not re.search("#0101[0-9a-f]{2}", written)


def test_page_tells_what_the_files_say(whole_run, page):
    evaluation = json.loads((whole_run / "evaluation.json").read_text())
    assert evaluation["found"]["architecture"] in page.text
    for told in (
        "93.42% ± 0.61",
        "91.27% ± 0.61",
        "112.26K",
        "10.07M",
        "as predicted, ratio 1.08",
        "outputs pass",
        "2801 measured rows from local",
        "under latency_ms[local]<=0.6, size_bytes<=400000",
        "Deployed is what counts",
        "predicted latency on local (ms)",
        "population 24",
        "600 test episodes",
    ):
        assert told in page.text, told


def test_charts_are_the_same_each_time(whole_run, written):
    again = write_report(whole_run).read_text(encoding="utf-8")
    chart = re.compile("<svg.*?</svg>", re.DOTALL)
    assert chart.findall(again) == chart.findall(written)


def test_charts_are_well_formed(written):
    for chart in re.findall("<svg.*?</svg>", written, re.DOTALL):
        linked = chart.replace("<svg", '<svg xmlns:xlink="x"', 1)
        ET.fromstring(linked)


def test_winner_is_drawn_layer_by_layer(whole_run):
    run = read_run(whole_run)
    chain = winning_chain(run)
    texts = [f"k{link.layer.kernel}c{link.layer.out_channels}" for link in chain[:-1]]
    assert all(text in run.search.winner.architecture for text in texts)
    assert chain[-1].layer.op == "head"
    call_ms = run.table.rows["empty/1x1x1"].median_ms
    total_ms = call_ms + sum(link.added_ms for link in chain)
    assert total_ms == pytest.approx(run.networks["found"].latencies_ms["local"], rel=1e-4)


def test_operations_of_a_winner_of_cells_are_drawn(cells_run):
    run = read_run(cells_run)
    page = write_report(cells_run).read_text(encoding="utf-8")
    chain = winning_chain(run)
    assert {link.layer.op for link in chain} == {"operation", "add", "concat", "head"}
    assert page.count('<div class="layer">') == len(chain)
    for link in chain:
        if link.layer.op == "operation":
            assert f"<b>{link.layer.operation}, {link.layer.out_channels}</b>" in page
    for told in ("nodes of a cell, 12", "sum of two maps", "stride 2, map 14"):
        assert told in re.sub(r"\s+", " ", page)


@pytest.mark.parametrize(
    "kept",
    [
        "run.json",
        "tables/local.tsv",
        "found.metrics.jsonl",
        "search.jsonl",
        "search.json",
        "evaluation.json",
        "verify.json",
        "model.onnx",
    ],
)
def test_any_one_file_alone_makes_a_page_that_names_the_rest(whole_run, tmp_path, kept):
    (tmp_path / kept).parent.mkdir(exist_ok=True)
    (tmp_path / kept).write_bytes((whole_run / kept).read_bytes())
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Not there yet" in page.text
    missing = page.text.partition("Not there yet")[2]
    assert kept.replace("local", "*") not in missing.split()
    assert "supernet.metrics.jsonl" in missing


def test_files_cannot_inject_anything(new_run):
    folder = new_run("<img src=x onerror=1>")
    attack = '<script>alert("x")</script>'
    run = {"settings": {attack: [attack]}, "provenance": {"command": attack, "made": attack}}
    (folder / "run.json").write_text(json.dumps(run))
    search = json.loads((folder / "search.json").read_text())
    search["winner"]["architecture"] = search["constraints"][1]["metric"] = attack
    (folder / "search.json").write_text(json.dumps(search))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation["found"]["architecture"] = attack
    evaluation[attack] = evaluation.pop("baseline")
    evaluation[attack]["costs"][f"latency_ms[{attack}]"] = 1.0
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    verification = json.loads((folder / "verify.json").read_text())
    verification["notes"] = [attack]
    (folder / "verify.json").write_text(json.dumps(verification))
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.tags)
    assert page.text.count(attack) >= 6


def test_failed_verification_is_said_aloud(new_run):
    folder = new_run("run")
    verification = json.loads((folder / "verify.json").read_text())
    verification["agreement"].update(largest_share=0.2, top1=0.5)
    verification["predicted"].update(latency_ms=0.1, low_ms=0.1, high_ms=0.1)
    (folder / "verify.json").write_text(json.dumps(verification))
    text = Page(write_report(folder).read_text(encoding="utf-8")).text
    assert "outputs fail" in text
    assert "top-1 on 375 of 750 images" in text
    assert "times the predicted one" in text


def change(path, edit):
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def test_front_over_another_cost_names_it(new_run):
    folder = new_run("run")
    change(folder / "search.json", lambda search: search.update(front_cost="macs"))
    labels = [a["aria-label"] for t, a in Page(write_report(folder).read_text()).tags if t == "svg"]
    assert "Accuracy of 480 scored architectures against MACs" in labels


def test_network_evaluated_before_there_was_a_table_has_no_latency(new_run):
    folder = new_run("run")
    change(
        folder / "evaluation.json",
        lambda networks: networks["baseline"]["costs"].pop("latency_ms[local]"),
    )
    text = Page(write_report(folder).read_text()).text
    assert re.search(r"predicted latency, local [\d.]+ ms no table", text)
    assert "baseline, trained by itself" not in text


def test_other_devices_are_named_and_their_latency_is_said_to_be_predicted(new_run):
    folder = new_run("run")
    table = (folder / "tables" / "local.tsv").read_text()
    (folder / "tables" / "board.tsv").write_text(table)
    change(
        folder / "evaluation.json",
        lambda networks: networks["found"]["costs"].update({"latency_ms[board]": 12.3}),
    )
    text = Page(write_report(folder).read_text()).text
    assert "also holds tables of board." in text
    assert "Latency on board 12.3 ms predicted, not measured" in text


def test_importing_the_room_loads_neither_matplotlib_nor_torch():
    code = (
        "import sys, metanas.report\n"
        "sys.exit(', '.join({'matplotlib', 'torch'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_a_network_of_which_nothing_was_promised_is_shown_as_measured(new_run):
    folder = new_run("run")
    change(folder / "verify.json", lambda values: values.update(predicted=None, slowdown=None))
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert "not predicted" in page.text
    assert "outputs pass" in page.text
