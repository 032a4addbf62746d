import pytest

from engine.journal.journal import Journal


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.db", "paper", create=True) as opened:
        yield opened
