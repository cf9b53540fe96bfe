"""The managed area on a class map: crop, and the soil between its rows."""
