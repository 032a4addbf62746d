"""Sources of market data: bars and news from exchanges, files, a live collector or a simulated market."""
