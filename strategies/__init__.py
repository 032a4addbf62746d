"""How a forecast becomes a position, and the front door that ties feeds, student and engine together."""
