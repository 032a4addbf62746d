"""The page of metrics has a row with the unit of each metric, in the order of the registry, and no other."""

import re
from pathlib import Path

from engine.metrics.registry import METRICS

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/metrics.md"


def test_every_metric_has_a_row_with_its_unit_and_formula():
    rows = [
        (key, unit.strip())
        for keys, unit, formula, _ in re.findall(
            r"^\|(.*?`.*?)\|(.*?)\|(.*?)\|(.*?)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
        )
        for key in re.findall("`(.*?)`", keys)
        if formula.strip()
    ]
    assert sorted(rows) == sorted((metric.key, metric.unit.value) for metric in METRICS)


def test_no_key_is_there_twice_and_every_metric_has_a_label():
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    assert all(metric.label for metric in METRICS)
