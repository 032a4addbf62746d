"""Scores of forecasts and of equity: accuracy, performance, verdicts, trials."""
