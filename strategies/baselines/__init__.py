"""Baselines: forecasters beside the student that are traded and scored as it is."""
