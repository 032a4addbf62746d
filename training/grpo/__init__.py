"""One round of GRPO through TRL: from outcomes to an adapter. Knows no fold and no registry."""
