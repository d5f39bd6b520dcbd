from __future__ import annotations

import io
import json

from rich.console import Console

from metanas.report import summary_table, wording


def printed(folder, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_table(folder))
    return console.file.getvalue().replace("\xa0", " ")


def test_summary_shows_both_networks(whole_run):
    text = printed(whole_run)
    for told in ("found", "baseline", "93.42% ± 0.61", "91.27% ± 0.61", "112.26K", "10.07M"):
        assert told in text, told
    assert "Latency on local is predicted from measured rows." in text
    assert "agree on the top-1 of 100.00% of 750 images" in text
    assert "Latency as predicted: measured / predicted = 1.08." in text


def test_memory_is_shown_as_it_was_priced(whole_run):
    networks = json.loads((whole_run / "evaluation.json").read_text())
    (row,) = [line for line in printed(whole_run).splitlines() if line.split()[1:2] == ["memory"]]
    shown = [
        wording.size(networks[name]["costs"]["memory_bytes"]) for name in ("found", "baseline")
    ]
    assert [cell.strip() for cell in row.strip("│").split("│")[1:]] == [
        cell.replace("\xa0", " ") for cell in shown
    ]


def test_energy_is_shown_where_it_is_known(new_run):
    folder = new_run("run")
    assert "energy" not in printed(folder)
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation["found"]["costs"]["energy_mj[pi0]"] = 1.2
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    verification = json.loads((folder / "verify.json").read_text())
    verification["measured"]["energy_mj"] = 1.3
    (folder / "verify.json").write_text(json.dumps(verification))
    lines = [line.strip("│").split("│") for line in printed(folder).splitlines()]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in lines}
    assert cells["predicted energy, pi0"] == ["1.20 mJ", "no table"]
    assert cells["measured energy, local"] == ["1.30 mJ", ""]


def test_memory_is_left_out_of_a_run_that_did_not_price_it(new_run):
    folder = new_run("run")
    evaluation = json.loads((folder / "evaluation.json").read_text())
    del evaluation["found"]["costs"]["memory_bytes"]
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    assert "memory" not in printed(folder)


def test_summary_fits_a_narrow_terminal(whole_run):
    lines = printed(whole_run, width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "…" not in "".join(lines)


def test_unfinished_run_says_so(whole_run, tmp_path):
    (tmp_path / "run.json").write_bytes((whole_run / "run.json").read_bytes())
    assert "no network has been evaluated yet" in printed(tmp_path)


def test_markup_in_a_folders_name_is_only_text(new_run):
    assert "[red]run" in printed(new_run("[red]run"))


def test_numbers_read_as_people_write_them():
    assert [wording.count(v) for v in (5.0, 999, 113_210.0, 10_070_000, 2.5e9)] == [
        *("5", "999", "113.21K", "10.07M", "2.50G")
    ]
    assert [wording.size(v) for v in (12.0, 452_840.0, 1_250_000)] == [
        *("12\xa0B", "452.8\xa0kB", "1.2\xa0MB")
    ]
    assert [wording.milliseconds(v) for v in (0.0, 0.01234, 1.2, 123, 1234.5)] == [
        *("<0.001\xa0ms", "0.0123\xa0ms", "1.20\xa0ms", "123\xa0ms", "1234\xa0ms")
    ]
    assert [wording.millijoules(v) for v in (0.01234, 1.2, 1234.5)] == [
        *("0.0123\xa0mJ", "1.20\xa0mJ", "1234\xa0mJ")
    ]
    assert wording.cost_axis("latency_ms[pi0]") == "predicted latency on pi0 (ms)"
    assert wording.cost_axis("energy_mj[pi0]") == "predicted energy on pi0 (mJ)"
    assert wording.cost_axis("macs") == "MACs"
    assert wording.cost_axis("memory_bytes") == "memory (bytes)"
