import pytest

from support.profile_command import ended


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `metanas-profile`; its exit code, and what it printed on both streams."""

    def call(*arguments):
        code = ended(monkeypatch, *arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
