"""The simulated market: bars, headlines and the oracle that knows them."""
