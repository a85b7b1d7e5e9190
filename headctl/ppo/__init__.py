"""Floor 2: proximal policy optimisation with one temperature per head."""
