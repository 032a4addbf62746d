"""Sources of bars, historical and live: one module for each."""
