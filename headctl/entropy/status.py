"""What the controller says of a head."""

from enum import IntEnum


class HeadStatus(IntEnum):
    """The state of one head's control loop; the number is what TensorBoard shows, the name what people read."""

    INACTIVE = 0
    """No row in which the head had a choice: its state is held, its bonus is zero."""
    TRACKING = 1
    """The loop is closed: alpha lies inside its bounds, or has not been at one of them for long."""
    SLACK = 2
    """Mode floor: the head is more random than its target by itself, and alpha rests at its floor."""
    SATURATED = 3
    """Alpha stands at a bound and the target is still not met."""
    COLLAPSED = 4
    """The head is all but deterministic although its target asks for more; the softmax passes hardly any gradient."""
    FIXED = 5
    """Law ``fixed``: alpha is a constant, there is no target."""
