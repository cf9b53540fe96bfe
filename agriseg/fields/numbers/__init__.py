"""What is counted in fields: cover, shade, and the spread of indices."""
