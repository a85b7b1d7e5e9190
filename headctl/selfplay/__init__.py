"""Floor 3: adversarial play. Games as batches on tensors, frozen opponents, matches."""
