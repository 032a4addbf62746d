"""What holds for all tests."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _keep_priority():
    """Training commands lower the priority of their process, which here is the one that runs every test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "nice", lambda _increment: 0)
        yield
