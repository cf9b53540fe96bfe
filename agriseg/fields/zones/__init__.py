"""Zones of vigour within fields."""
