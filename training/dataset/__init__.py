"""Training data: forecasts with their outcomes, behind one guard against look-ahead."""
