"""Checks of bars and news before they are used."""
