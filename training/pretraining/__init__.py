"""Pretrain and release the shipped tiny student."""
