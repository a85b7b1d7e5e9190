"""Zero-sum matrix games: small enough that every right answer is known."""
