"""The controller laboratory: laws of the temperature against each other, in closed loop, on one small task."""
