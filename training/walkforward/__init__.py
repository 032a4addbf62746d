"""Training, gating and trading through history, fold by fold. It is a run whose champion changes."""
