"""Farmland as a satellite sees it on two dates: fields, woods, villages, and clouds over them."""
