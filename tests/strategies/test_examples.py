"""Every example runs as a stranger would run it, and every public name has an example that is right."""

import doctest
import importlib
import inspect
import json
import os
import runpy
import sys

import pytest

import closecall
from tests.support.own_processes import ran
from tests.support.paper_sessions import run_in_child
from tests.support.places import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
AS_A_SCRIPT = "own_student"
"""The example that a fresh interpreter runs; it needs no library that takes long to load."""


def run_forked(example, folder, environment):
    """Run an example in a fork of this process, which has the libraries: exit code, stdout and stderr."""
    for name in ("transformers.models.qwen3.modeling_qwen3", "peft", "trl"):
        importlib.import_module(name)

    written = [folder.with_name(f"{folder.name}.{stream}") for stream in ("out", "err")]

    def work():
        for number, path in enumerate(written, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w") for number in (1, 2))
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        runpy.run_path(str(example), run_name="__main__")
        sys.stdout.flush()

    code = run_in_child(work)
    return code, *(path.read_text() for path in written)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_runs(example, tmp_path):
    assert len(example.read_text(encoding="utf-8").splitlines()) < 60
    folder = tmp_path / "home"
    folder.mkdir()
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    env["CLOSECALL_TRIALS"] = ""  # else the user's record of trials is written, whatever the data folder
    if example.stem == AS_A_SCRIPT:
        run = ran([sys.executable, example], cwd=folder, env=env, capture_output=True, text=True, seconds=300)
        code, out, err = run.returncode, run.stdout, run.stderr
    else:
        code, out, err = run_forked(example, folder, env)
    assert code == 0, err
    assert out
    assert "Warning" not in err
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_notebook_runs_cell_by_cell():
    notebook = json.loads((ROOT / "examples" / "first_backtest.ipynb").read_text(encoding="utf-8"))
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)
    assert names["result"].scores.student.accuracy > 0.5


DOCUMENTED = [name for name in closecall.__all__ if not name.endswith("Error")]


@pytest.mark.parametrize("name", closecall.__all__)
def test_a_public_name_has_a_docstring(name):
    assert inspect.getdoc(getattr(closecall, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_of_a_public_name_are_right(name):
    value = getattr(closecall, name)
    tests = doctest.DocTestFinder(recurse=True).find(value, name, module=inspect.getmodule(value))
    examples = sum(len(test.examples) for test in tests)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests:
        runner.run(test)
    assert (examples > 0, runner.failures) == (True, 0)
