"""Weeds within fields: a grid of cells, and patches."""
