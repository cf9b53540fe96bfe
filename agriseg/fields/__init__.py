"""Fields on a class map: their outlines, their rows, and the numbers that a farm acts on."""
