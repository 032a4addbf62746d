"""Scores of forecasts and of equity: accuracy, performance, significance, trials."""
