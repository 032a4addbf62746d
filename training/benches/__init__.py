"""Benchmarks of the engine, of the student and of training, on simulated markets."""
