"""Bars, news and exchange rates from files."""
