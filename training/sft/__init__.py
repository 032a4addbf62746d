"""Supervised fine-tuning on the same outcomes, the alternative to GRPO."""
