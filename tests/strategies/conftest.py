"""Folders in memory, where processes are killed often, and a session that has ended."""

import pytest

from tests.support.paper_sessions import full_script, in_memory, replay


@pytest.fixture
def tmp_path():
    yield from in_memory()


@pytest.fixture(scope="session")
def session():
    """A folder with a session that ran to its end; it is read, never changed."""
    for folder in in_memory():
        replay(folder, full_script())
        yield folder
