import dataclasses
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metanas.devices import DeviceDescription
from metanas.errors import TableError
from metanas.profiling import (
    Calibration,
    LatencyTable,
    Sentinel,
    TableHeader,
    read_header,
    read_table,
    write_table,
)
from metanas.profiling.table import rows as table_rows
from metanas.profiling.table.file import format_table
from metanas_agent.layers import ConvLayer, EmptyLayer
from metanas_agent.measurement import VERDICTS, Measurement

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.text(string.ascii_letters + '_-. é"', min_size=1, max_size=10)
scalars = (
    texts
    | st.integers(-(2**60), 2**60)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
times = st.floats(0, 1e6, allow_nan=False)
counts = st.integers(1, 99)
optional = st.none() | st.floats(0, 1e5)
layers = st.builds(EmptyLayer, *[st.integers(1, 99)] * 3) | st.builds(
    ConvLayer, *[st.integers(1, 99)] * 3, out_channels=st.integers(1, 99), kernel=st.just(3)
)


@st.composite
def tables(draw):
    shared = {
        "source": draw(st.sampled_from(["measured", "simulated"])),
        "runtime": draw(texts),
        "runtime_version": draw(texts),
        "method": draw(st.integers(1, 9)),
    }
    rows = {}
    for layer in draw(st.lists(layers, unique=True, max_size=5)):
        low, median, high = sorted(draw(st.tuples(times, times, times)))
        rows[layer.key] = Measurement(
            key=layer.key,
            median_ms=median,
            low_ms=low,
            high_ms=high,
            p10_ms=draw(times),
            p90_ms=draw(times),
            samples=draw(st.integers(1, 999)),
            repeats=draw(st.integers(1, 999)),
            clock_mhz_before=draw(optional),
            clock_mhz_after=draw(optional),
            governor=draw(st.none() | texts.filter(bool)),
            temperature_c_before=draw(optional),
            temperature_c_after=draw(optional),
            throttled_before=draw(st.none() | st.integers(0, 99)),
            throttled_after=draw(st.none() | st.integers(0, 99)),
            energy_mj=draw(optional),
            verdict=draw(st.sampled_from(VERDICTS)),
            reason=draw(texts),
            **shared,
        )
    header = TableHeader(
        device=DeviceDescription(
            name=draw(texts),
            machine=draw(texts),
            processor=draw(texts),
            cores=draw(st.integers(1, 999)),
            system=draw(texts),
            runtimes=draw(st.dictionaries(names, texts, max_size=3)),
            source=shared["source"],
            agent_version=draw(texts),
            unavailable=draw(st.dictionaries(names, texts, max_size=3)),
            memory_bytes=draw(st.none() | st.integers(1, 2**40)),
        ),
        spaces=tuple(draw(st.lists(st.dictionaries(names, scalars, max_size=3), max_size=2))),
        timer=draw(st.dictionaries(names, scalars, max_size=3)),
        sentinel=draw(st.none() | st.builds(Sentinel, texts, st.integers(1, 99), *[times] * 3)),
        made=draw(st.dictionaries(names, texts | st.integers(0, 2**60), max_size=3)),
        left_out=draw(st.dictionaries(names, texts, max_size=3)),
        calibration=draw(
            st.none()
            | st.builds(
                Calibration,
                *[times] * 2,
                counts,
                *[times] * 2,
                made=st.dictionaries(names, texts | counts, max_size=3),
            )
        ),
    )
    return LatencyTable(header, rows)


@given(tables())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_written_is_read_back(tmp_path, table):
    path = tmp_path / "table.tsv"
    write_table(table, path)
    assert read_table(path) == table
    assert format_table(read_table(path)) == path.read_bytes().decode()


def test_a_person_can_read_it(table):
    lines = format_table(table).splitlines()
    head = [line for line in lines if line.startswith("# ")]
    assert head[0] == '# format = "metanas latency table 2"'
    assert '# source = "simulated"' in head
    assert '# name = "toy"' in head
    assert '# input = "1x12x12"' in head
    assert "# seed = 3" in head
    names, *rows = lines[len(head) :]
    assert names.startswith("layer\tmedian_ms\tlow_ms\thigh_ms\t")
    assert [row.partition("\t")[0] for row in rows] == list(table.rows)
    assert all(len(cell) <= 12 for row in rows for cell in row.split("\t")[1:])


def test_reading_looks_at_each_row_once(table, tmp_path, monkeypatch):
    """What makes it fast is counted, since a time would depend on the machine."""
    asked = {"parse_layer": 0, "Measurement": 0}

    def counting(name):
        real = getattr(table_rows, name)

        def call(*arguments, **fields):
            asked[name] += 1
            return real(*arguments, **fields)

        return call

    path = tmp_path / "table.tsv"
    write_table(table, path)
    for name in asked:
        monkeypatch.setattr(table_rows, name, counting(name))
    assert read_table(path) == table
    assert set(asked.values()) == {len(table.rows)}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("scale = 1.5", 'scale = "1.5"', "scale is '1.5'"),
        ("scale = 1.5", "scale = nan", "scale is nan"),
        ("scale = 1.5", "scale = inf", "scale is inf"),
        ("scale = 1.5", "scale = 1e999", "scale is inf"),
        ("scale = 1.5", "scale = true", "scale is True"),
        ("worst_error = 0.02", "worst_error = -nan", "worst_error is nan"),
        ("networks = 20", "networks = true", "networks is True"),
        ("networks = 20", "networks = 20\n# made = 3", "made is 3"),
        ("networks = 20", "networks = 20\n# made.seed = 0.5", "made is {'seed': 0.5}"),
        ("networks = 20", "networks = 20.0", "networks is 20.0"),
        ("networks = 20", "n = 20", "has an unknown 'n'"),
        ("# networks = 20\n", "", "has no 'networks'"),
    ],
)
def test_a_broken_calibration_is_refused(table, tmp_path, old, new, what):
    path = tmp_path / "table.tsv"
    header = dataclasses.replace(table.header, calibration=Calibration(1.5, 0.0, 20, 0.01, 0.02))
    text = format_table(LatencyTable(header, table.rows))
    path.write_text(text)
    assert read_table(path).header == header
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(TableError, match=rf"the header is broken: \[calibration\] {what}"):
        read_table(path)


def test_rows_stand_in_the_spaces_order(table, space):
    assert list(table.rows)[1:] == [layer.key for layer in space.all_layers]


def test_a_windows_editor_does_no_harm(table, tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes(format_table(table).replace("\n", "\r\n").encode())
    assert read_table(path) == table


def edited(text, number, change):
    lines = text.split("\n")
    lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines)


@pytest.fixture
def first_row(table):
    """The number of the line of the first row."""
    text = format_table(table).split("\n")
    return next(n for n, line in enumerate(text, 1) if line.startswith("layer")) + 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda line: line.replace("empty/1x1x1", "empty/1x1"), "not a layer: 'empty/1x1'"),
        (lambda line: line.replace("\t0.0\t", "\tfast\t", 1), "not a row: .*'fast'"),
        (lambda line: line.replace("\t0.0\t", "\t-1.0\t", 1), "median_ms is -1.0"),
        (lambda line: line.replace("\t0.0\t", "\tnan\t", 1), "median_ms is nan"),
        (lambda line: line.replace("trusted", "certain"), "verdict is 'certain'"),
        (lambda line: line + "\tmore", "not a row"),
        (lambda line: line.rpartition("\t")[0], "not a row"),
        (lambda line: line[:11], "not a row"),
        (lambda line: '"' + line, "not a layer"),
        (lambda line: line + '"', "not a row"),
        (lambda line: line + "\\", "not a row"),
    ],
)
def test_names_the_line_of_a_broken_row(table, tmp_path, first_row, change, what):
    path = tmp_path / "table.tsv"
    path.write_text(edited(format_table(table), first_row, change))
    with pytest.raises(TableError, match=what) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert f"line {first_row}" in str(caught.value)


def test_a_truncated_file_is_refused_wherever_it_ends(table, tmp_path):
    text = format_table(table).rstrip("\n")
    path = tmp_path / "table.tsv"
    for length in range(0, len(text) - len("trusted\t"), 97):
        path.write_text(text[:length])
        with pytest.raises(TableError, match=r"table\.tsv"):
            read_table(path)


def test_another_format_version_is_refused(table, tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(format_table(table).replace("latency table 2", "latency table 3"))
    with pytest.raises(TableError, match="line 1: format is 'metanas latency table 3'"):
        read_table(path)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("# [device]", "# [device", "the header is broken"),
        (
            '# machine = "accelerator',
            '# engine = "accelerator',
            r"\[device\] has an unknown 'engine'",
        ),
        ("# [timer]", "# [clock]", r"there is no \[timer\]"),
        ("# [device]", "# timer = 3\n# [device]", "the header is broken"),  # said twice
        ('# runtime = "', '# engine = "', "there is no runtime"),
        ('# name = "toy"', "# name = 3", r"\[device\] name is 3"),
        ('# name = "toy"', '# name = "toy"\n# cores = true', "the header is broken"),
        ("# interval = ", "# interval = nan\n# before = ", r"\[timer\] interval is nan"),
        ("# interval = ", "# interval = [1]\n# before = ", r"\[timer\] interval is \[1\]"),
        ("# [[space]]", "# [space]", r"\[\[space\]\] is {"),
        ("# rows = ", "# rows = true\n# before = ", "does not say how many rows"),
        ("# rows = ", "# rows = 1.5\n# before = ", "does not say how many rows"),
        ("# seed = 3", f"# seed = {'9' * 5000}", "the header is broken"),
        ("# method = 2", "# method = 0", "method is 0"),
        ("# rows = ", "# rows = 1", "rows where the header says"),
        ("layer\tmedian_ms", "layer\tmean_ms", "not the column names"),
    ],
)
def test_a_broken_header_is_refused(table, tmp_path, old, new, what):
    path = tmp_path / "table.tsv"
    text = format_table(table)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(TableError, match=what):
        read_table(path)


SECTIONS = ("device", "timer", "made", "sentinel", "calibration", "left_out", "space")


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("value", ["3", "true", '"text"', "[3]", "nan"])
def test_a_section_that_is_none_is_refused(table, tmp_path, section, value):
    """By whatever reads the file, so that no one looks for a name in a number."""
    path = tmp_path / "table.tsv"
    title = "[[space]]" if section == "space" else f"[{section}]"
    text = format_table(table).replace(f"# {title}\n", "# [other]\n", 1)
    path.write_text(text.replace("\n", f"\n# {section} = {value}\n", 1))
    for read in (read_table, read_header):
        with pytest.raises(TableError, match=rf"table.tsv: the header is broken: .*{section}"):
            read(path)


@pytest.mark.parametrize("value", ["true", "3", "1e999", "1979-05-27"])
def test_a_sentinel_of_another_kind_is_refused(table, tmp_path, value):
    """`timings` is a count, `median_ms` a finite number, `key` a text."""
    path = tmp_path / "table.tsv"
    sentinel = Sentinel("conv", 9, 0.25, 0.2, 0.3)
    text = format_table(
        LatencyTable(dataclasses.replace(table.header, sentinel=sentinel), table.rows)
    )
    allowed = {"timings = 9": ("3",), "median_ms = 0.25": ("3",), 'key = "conv"': ()}
    for line, good in allowed.items():
        path.write_text(text.replace(f"# {line}", f"# {line.partition(' ')[0]} = {value}", 1))
        if value in good:
            read_table(path)
        else:
            with pytest.raises(TableError, match=rf"\[sentinel\] {line.partition(' ')[0]} is"):
                read_table(path)


def test_a_row_that_stands_twice_is_refused(table, tmp_path):
    path = tmp_path / "table.tsv"
    lines = format_table(table).splitlines()
    key, _, cells = lines[-1].partition("\t")
    changed = f"{key}\t{cells.replace('0.0', '9.9', 1)}"
    for kept in (lines[:-2], lines[:-1]):  # as many rows as the header says, as many layers
        path.write_text("\n".join([*kept, lines[-1], changed]))
        where = rf"line {len(kept) + 2}: {key} has a row already, on line {len(kept) + 1}"
        with pytest.raises(TableError, match=where):
            read_table(path)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"hello\n", b"layer\tmedian_ms\n"])
def test_other_files_are_no_tables(tmp_path, content):
    path = tmp_path / "table.tsv"
    path.write_bytes(content)
    with pytest.raises(TableError):
        read_table(path)


def test_a_missing_file_or_a_folder_is_no_table(tmp_path):
    with pytest.raises(TableError, match="no table at"):
        read_table(tmp_path / "absent.tsv")
    with pytest.raises(TableError, match="not a latency table"):
        read_table(tmp_path)


def test_a_failed_write_leaves_the_old_table(table, tmp_path, monkeypatch):
    path = tmp_path / "table.tsv"
    write_table(table, path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    changed = LatencyTable(dataclasses.replace(table.header, timer={}), table.rows)
    with pytest.raises(OSError, match="No space left"):
        write_table(changed, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()].count("table.tsv") == len(
        [file for file in tmp_path.iterdir() if "table.tsv" in file.name]
    )
