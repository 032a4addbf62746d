"""Walk-forward retraining: a run whose champion changes fold by fold."""
