"""Historical bars: downloaded from exchanges and data services, checked, and kept in the store."""
