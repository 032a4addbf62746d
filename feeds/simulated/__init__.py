"""The simulated market: bars, headlines and the oracle that states their true probabilities."""
