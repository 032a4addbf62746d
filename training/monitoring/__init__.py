"""Monitor a student in training: metrics, guards, and rollback where a guard fails."""
