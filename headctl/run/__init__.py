"""Floor 4: a training run as a user sees it."""
