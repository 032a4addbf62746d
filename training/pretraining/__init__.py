"""How the shipped student is made."""
