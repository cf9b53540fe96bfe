"""Training: from scenes with labels to a model file."""
