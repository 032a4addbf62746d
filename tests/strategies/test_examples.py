"""Every example runs as a stranger would run it, and every public name has an example that is right."""

import doctest
import inspect
import json
import sys

import pytest

import closecall
from tests.support.own_processes import ran
from tests.support.places import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_runs(example, tmp_path):
    assert len(example.read_text(encoding="utf-8").splitlines()) < 60
    run = ran(
        [sys.executable, example],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        seconds=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout
    assert "Warning" not in run.stderr
    assert list(tmp_path.iterdir()) == []


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
