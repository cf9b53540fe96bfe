"""From class rasters to polygons that share their borders."""
