"""Retrain on the outcomes of a run or session: by hand, on a schedule, or when its scores drift."""
