"""Folders in memory, where processes are killed often, and sessions that have ended."""

import pytest

from tests.support.collected_sessions import Trial
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


@pytest.fixture(scope="session")
def collected():
    """A folder with a session on failing sources, which is read only, and how often it was killed."""
    for folder in in_memory():
        yield folder, Trial(folder, seed=11).run()
