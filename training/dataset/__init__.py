"""What was forecast, what came of it and when that was known: behind one guard against the future."""
