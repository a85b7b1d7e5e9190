"""headctl beside the trainers that one would use instead: same game, network and batch, in one run."""
