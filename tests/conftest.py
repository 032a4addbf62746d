"""What holds for all tests."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _keep_priority():
    """Training commands lower the priority of their process, which here is the one that runs every test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "nice", lambda _increment: 0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _keep_the_users_record_of_trials():
    """Runs count as trials of their own data folder only, and none is recorded in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLOSECALL_TRIALS", "")
        yield
