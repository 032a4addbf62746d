"""Historical bars: fetched from exchanges and data services, checked, and kept in the store.

Knows no order and no forecast.
"""
