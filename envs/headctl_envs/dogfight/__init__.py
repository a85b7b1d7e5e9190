"""The dogfight: a batched engine in Warp and its PettingZoo face."""
