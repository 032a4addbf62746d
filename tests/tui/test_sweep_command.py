import json

import pytest

from tests.support.places import ROOT
from tui.cli.main import run

STUDENT = f"{ROOT}/examples/own_student.py:Momentum"


@pytest.fixture
def sweep(tmp_path, capsys):
    def call(*words):
        fixed = ("--student", STUDENT, "--days", "40", "--jobs", "1", "--data-dir", str(tmp_path))
        code = run(["sweep", *fixed, *words])
        return code, *capsys.readouterr()

    return call


def test_a_sweep_prints_its_points_and_fails_where_one_could_not_be_run(sweep):
    words = ("--set", "market.coins=1,0", "--set", "market.stocks=0")
    code, out, err = sweep(*words, "--json")
    result = json.loads(out)
    assert (code, result["keys"]) == (4, ["market.coins", "market.stocks"])
    assert [point["error"] is None for point in result["points"]] == [True, False]
    assert err.splitlines()[-1] == "closecall: 1 point of the sweep failed, as stated"
    _, table, _ = sweep(*words)
    assert table.splitlines()[0].startswith(
        "market.coins market.stocks accuracy return Sharpe drawdown verdict"
    )
    assert "Finished before: 1 of 2 points." in table


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "fee_bp=1"], "unknown key 'fee_bp'; did you mean 'fee_bps'?"),
        (["--set", "fee_bps=1,x"], "fee_bps = 'x' does not fit"),
        (["--set", "fee_bps=1", "--jobs", "0"], "--jobs"),
        ([], "--set"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_run(sweep, tmp_path, words, message):
    code, out, err = sweep(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    assert not list(tmp_path.iterdir())
