"""Rows of a crop: which way they run, how far apart, and where each lies."""
