"""Group relative policy optimisation through TRL: train an adapter on outcomes."""
