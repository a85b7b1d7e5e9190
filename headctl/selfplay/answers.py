"""Games that know how far a policy is from their answer.

Shapes: B everything that a policy can ever see, F features, K choices.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from headctl.policy.network import Policy
from headctl.selfplay.games import Observations, VectorGame


@runtime_checkable
class KnowsExploitability(Protocol):
    """A game with one discrete head, so small that it can say exactly how exploitable a policy is."""

    def everything_seen(self) -> Observations:
        """Returns all that a policy can ever see ``[B, 1, F]``, with its masks."""
        ...

    def exploitability(self, probabilities: Tensor) -> float:
        """Returns what best answers gain against a policy per episode, on average over the seats.

        Args:
            probabilities: What the policy does in each of these states ``[B, K]``.
        """
        ...


@torch.no_grad()
def choice_probabilities(policy: Policy, seen: Observations) -> Tensor:
    """Returns what a policy with one discrete head does in given states ``[B, K]``.

    Args:
        policy: The policy.
        seen: States ``[B, 1, F]``.
    """
    head = policy.action_heads.heads[0]
    observation = seen.observation.flatten(0, 1)
    masks = {name: mask.flatten(0, 1) for name, mask in seen.masks.items()}
    params, _ = policy(observation)
    columns = []
    for choice in range(head.num_params):
        action = torch.full((len(observation),), choice, dtype=torch.int64, device=observation.device)
        columns.append(policy.action_heads.evaluate(params, {head.name: action}, masks).log_prob[:, 0])
    return torch.stack(columns, -1).double().exp()


def exact_exploitability(game: VectorGame, policy: Policy) -> float | None:
    """Returns the exact exploitability of a policy, or ``None`` where the game does not know it.

    What a policy with memory does follows from all that it has seen: it is known only where an episode is one decision,
    which the game says by ``episode_decisions``.
    """
    if not isinstance(game, KnowsExploitability):
        return None
    if policy.memory is not None and getattr(game, "episode_decisions", 0) != 1:
        return None
    return game.exploitability(choice_probabilities(policy, game.everything_seen()))


def known_answers(game: VectorGame, policy: Policy) -> dict[str, float]:
    """Returns the metrics of what the game knows exactly of a policy; none for most games."""
    exploitability = exact_exploitability(game, policy)
    return {} if exploitability is None else {"env/exploitability": exploitability}
