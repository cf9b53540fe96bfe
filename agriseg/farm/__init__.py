"""What a farm asks of its runs: how its fields are, how a season went, what has changed."""
