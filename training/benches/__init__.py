"""What the whole of training is measured by, on simulated markets."""
