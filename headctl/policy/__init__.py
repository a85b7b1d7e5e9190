"""Floor 1: action heads, the action space by name, the actor-critic network."""
