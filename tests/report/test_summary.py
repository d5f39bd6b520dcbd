from __future__ import annotations

import io

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
    assert wording.cost_axis("latency_ms[pi0]") == "predicted latency on pi0 (ms)"
    assert wording.cost_axis("macs") == "MACs"
    assert wording.cost_axis("memory_bytes") == "memory (bytes)"
