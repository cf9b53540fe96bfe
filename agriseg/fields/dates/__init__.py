"""Fields on several dates: ids that last, and how far two scenes lie apart."""
