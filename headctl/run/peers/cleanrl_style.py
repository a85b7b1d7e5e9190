"""PPO in the structure of CleanRL's ``ppo.py`` (Huang et al. 2022), written anew.

Not the file itself, which is no library: its agent, its loop and its order of operations, with ``torch.distributions``,
a tensor conversion per step, a Python loop for the advantages, advantages normalised per minibatch, a clipped value
loss, and ``.item()`` for every minibatch's divergence. Changed only as far as the game asks: several heads with masks,
whose log-probabilities and entropies are added up, and one trunk for policy and value where ``shared`` says so.

Shapes: T steps, R rows, B samples, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from headctl.run.peers.games import Arrays, BatchedRows, PettingZooRows, Rows
from headctl.run.peers.streams import GlobalStream
from headctl.run.peers.work import BATCHED, Account, Tally, Work

_ILLEGAL = -1e8


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRLOptions:
    """The arguments of ``ppo.py`` that matter here, at its defaults.

    Attributes:
        steps: T.
        epochs: Passes over a rollout.
        minibatches: Parts of a rollout, one gradient step each.
        hidden: Widths of the layers.
        shared: One trunk for policy and value; ``ppo.py`` has two.
        gamma: Discount.
        gae_lambda: Lambda of generalised advantage estimation.
        clip: Half width of the ratio's interval.
        clip_value: Whether the value loss is clipped too.
        learning_rate: Adam's step size.
        total_steps: The step size falls linearly to 0 over so many agent-steps; ``None``: it is constant.
        entropy_coef: Weight of the entropy bonus.
        value_coef: Weight of the value loss.
        max_grad_norm: Largest norm of the gradient.
    """

    steps: int = 128
    epochs: int = 4
    minibatches: int = 4
    hidden: Sequence[int] = (64, 64)
    shared: bool = False
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    clip_value: bool = True
    learning_rate: float = 2.5e-4
    total_steps: int | None = None
    entropy_coef: float = 0.01
    value_coef: float = 0.5
    max_grad_norm: float = 0.5


def make_cleanrl(work: Work, route: str) -> "CleanRL":
    """Returns the re-written structure at work."""
    rows = BatchedRows(work) if route == BATCHED else PettingZooRows(work)
    work.gradient_steps(rows.rows)
    options = CleanRLOptions(
        steps=work.steps,
        epochs=work.epochs,
        minibatches=rows.rows * work.steps // work.minibatch,
        hidden=work.hidden,
        shared=True,
        gamma=work.gamma,
        gae_lambda=work.gae_lambda,
        clip=work.clip,
        learning_rate=work.learning_rate,
        entropy_coef=work.entropy_coef,
        value_coef=work.value_coef,
        max_grad_norm=work.max_grad_norm,
    )
    return CleanRL(rows, options, seed=work.seed)


def _layer(inputs: int, outputs: int, std: float = 2.0**0.5) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, 0.0)
    return layer


def _tower(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [_layer(inputs, size), nn.Tanh()]
        inputs = size
    return nn.Sequential(*layers)


class Agent(nn.Module):
    """Policy and value: a Categorical per Discrete head, a Normal per Box."""

    def __init__(self, features: int, space: spaces.Dict, options: CleanRLOptions) -> None:
        """Makes the network."""
        super().__init__()
        width = options.hidden[-1]
        self.trunk = _tower(features, options.hidden)
        self.value_trunk = self.trunk if options.shared else _tower(features, options.hidden)
        self.critic = _layer(width, 1, std=1.0)
        self.actors = nn.ModuleDict()
        self.log_std = nn.ParameterDict()
        self.outputs = 0
        for name, head in space.spaces.items():
            if isinstance(head, spaces.Discrete):
                size = int(head.n)
            elif isinstance(head, spaces.Box):
                size = int(head.shape[0])
                self.log_std[name] = nn.Parameter(torch.zeros(1, size))
            else:
                raise TypeError(f"action space {name!r}: a Discrete or a Box is needed here, got {head}")
            self.actors[name] = _layer(width, size, std=0.01)
            self.outputs += size

    def get_value(self, observation: Tensor) -> Tensor:
        """Returns values ``[B, 1]``."""
        return self.critic(self.value_trunk(observation))

    def get_action_and_value(
        self, observation: Tensor, masks: dict[str, Tensor], actions: dict[str, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Returns actions, their log-probabilities, the entropies, each added up over the heads, and values."""
        hidden = self.trunk(observation)
        value_hidden = hidden if self.value_trunk is self.trunk else self.value_trunk(observation)
        taken: dict[str, Tensor] = {}
        log_prob: Any = 0.0
        entropy: Any = 0.0
        for name, actor in self.actors.items():
            output = actor(hidden)
            if name in self.log_std:
                mean = output
                normal = Normal(mean, self.log_std[name].expand_as(mean).exp())
                action = normal.sample() if actions is None else actions[name]
                log_prob = log_prob + normal.log_prob(action).sum(1)
                entropy = entropy + normal.entropy().sum(1)
            else:
                logits = output
                if name in masks:
                    logits = torch.where(masks[name], logits, torch.tensor(_ILLEGAL))
                categorical = Categorical(logits=logits)
                action = categorical.sample() if actions is None else actions[name]
                log_prob = log_prob + categorical.log_prob(action)
                entropy = entropy + categorical.entropy()
            taken[name] = action
        return taken, log_prob, entropy, self.critic(value_hidden)


class CleanRL:
    """Satisfies :class:`headctl.run.peers.work.Contestant`."""

    def __init__(self, rows: Rows, options: CleanRLOptions, *, seed: int) -> None:
        """Makes agent and storage, and begins the games.

        Args:
            rows: The agents' games.
            options: The arguments.
            seed: Seed of the initial weights, the draws and the games.
        """
        self._rows_game, self._options = rows, options
        self._random = np.random.default_rng(seed)
        self._stream = GlobalStream(seed)
        self.rows, self.features = rows.rows, rows.features
        with self._stream.in_place():
            self.agent = Agent(rows.features, rows.action_space, options)
        self.outputs = self.agent.outputs
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=options.learning_rate, eps=1e-5)
        batch = rows.rows * options.steps
        self._minibatch = batch // options.minibatches
        self._tally = Tally(self.optimizer, self._minibatch)
        shape = (options.steps, rows.rows)
        seen = rows.reset(seed)
        self._obs = torch.zeros(*shape, rows.features)
        self._masks = {name: torch.zeros(*shape, mask.shape[-1], dtype=torch.bool) for name, mask in seen.masks.items()}
        self._actions: dict[str, Tensor] = {}
        for name, space in rows.action_space.spaces.items():
            if isinstance(space, spaces.Box):
                self._actions[name] = torch.zeros(*shape, *space.shape)
            else:
                self._actions[name] = torch.zeros(shape, dtype=torch.int64)
        self._logprobs, self._rewards, self._dones, self._values = (torch.zeros(shape) for _ in range(4))
        self._next_obs = torch.Tensor(seen.observation.copy())
        self._next_masks = {name: torch.from_numpy(mask.copy()) for name, mask in seen.masks.items()}
        self._next_done = torch.zeros(rows.rows)
        self.approx_kl = 0.0
        self.clip_fraction = 0.0

    def iterate(self) -> None:
        """Plays one rollout and learns from it."""
        if self._options.total_steps is not None:
            left = max(0.0, 1.0 - self._tally.agent_steps / self._options.total_steps)
            self.optimizer.param_groups[0]["lr"] = left * self._options.learning_rate
        with self._stream.in_place():
            self._play()
            self._learn()

    def _play(self) -> None:
        for step in range(self._options.steps):
            self._tally.agent_steps += self.rows
            self._obs[step] = self._next_obs
            self._dones[step] = self._next_done
            for name, mask in self._next_masks.items():
                self._masks[name][step] = mask
            with torch.no_grad():
                actions, logprob, _, value = self.agent.get_action_and_value(self._next_obs, self._next_masks)
                self._values[step] = value.flatten()
            for name, action in actions.items():
                self._actions[name][step] = action
            self._logprobs[step] = logprob
            played = self._rows_game.step(self._to_game(actions))
            self._rewards[step] = torch.tensor(played.reward).view(-1)
            self._next_obs = torch.Tensor(played.seen.observation.copy())
            self._next_masks = {name: torch.tensor(mask) for name, mask in played.seen.masks.items()}
            self._next_done = torch.Tensor(np.logical_or(played.terminated, played.truncated))

    def _to_game(self, actions: dict[str, Tensor]) -> Arrays:
        given: Arrays = {}
        for name, action in actions.items():
            space = self._rows_game.action_space[name]
            array = action.cpu().numpy()
            given[name] = np.clip(array, space.low, space.high) if isinstance(space, spaces.Box) else array
        return given

    def _advantages(self) -> tuple[Tensor, Tensor]:
        options = self._options
        with torch.no_grad():
            next_value = self.agent.get_value(self._next_obs).reshape(1, -1)
            advantages = torch.zeros_like(self._rewards)
            lastgaelam: Any = 0
            for t in reversed(range(options.steps)):
                if t == options.steps - 1:
                    nextnonterminal = 1.0 - self._next_done
                    nextvalues = next_value
                else:
                    nextnonterminal = 1.0 - self._dones[t + 1]
                    nextvalues = self._values[t + 1]
                delta = self._rewards[t] + options.gamma * nextvalues * nextnonterminal - self._values[t]
                lastgaelam = delta + options.gamma * options.gae_lambda * nextnonterminal * lastgaelam
                advantages[t] = lastgaelam
            return advantages, advantages + self._values

    def _learn(self) -> None:
        options = self._options
        advantages, returns = self._advantages()
        b_obs = self._obs.flatten(0, 1)
        b_masks = {name: mask.flatten(0, 1) for name, mask in self._masks.items()}
        b_actions = {name: action.flatten(0, 1) for name, action in self._actions.items()}
        b_logprobs, b_values = self._logprobs.flatten(), self._values.flatten()
        b_advantages, b_returns = advantages.flatten(), returns.flatten()
        b_inds = np.arange(len(b_obs))
        clipfracs = []
        for _ in range(options.epochs):
            self._random.shuffle(b_inds)
            for start in range(0, len(b_inds), self._minibatch):
                mb_inds = b_inds[start : start + self._minibatch]
                _, newlogprob, entropy, newvalue = self.agent.get_action_and_value(
                    b_obs[mb_inds],
                    {name: mask[mb_inds] for name, mask in b_masks.items()},
                    {name: action[mb_inds] for name, action in b_actions.items()},
                )
                logratio = newlogprob - b_logprobs[mb_inds]
                ratio = logratio.exp()
                with torch.no_grad():
                    self.approx_kl = ((ratio - 1) - logratio).mean().item()
                    clipfracs.append(((ratio - 1.0).abs() > options.clip).float().mean().item())
                mb_advantages = b_advantages[mb_inds]
                mb_advantages = (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)
                pg_loss1 = -mb_advantages * ratio
                pg_loss2 = -mb_advantages * torch.clamp(ratio, 1 - options.clip, 1 + options.clip)
                pg_loss = torch.max(pg_loss1, pg_loss2).mean()
                v_loss = self._value_loss(newvalue.view(-1), b_returns[mb_inds], b_values[mb_inds])
                loss = pg_loss - options.entropy_coef * entropy.mean() + v_loss * options.value_coef
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.agent.parameters(), options.max_grad_norm)
                self.optimizer.step()
        self.clip_fraction = float(np.mean(clipfracs))

    def _value_loss(self, newvalue: Tensor, returns: Tensor, values: Tensor) -> Tensor:
        unclipped = (newvalue - returns) ** 2
        if not self._options.clip_value:
            return 0.5 * unclipped.mean()
        clipped = values + torch.clamp(newvalue - values, -self._options.clip, self._options.clip)
        return 0.5 * torch.max(unclipped, (clipped - returns) ** 2).mean()

    def account(self) -> Account:
        """Returns what it has done so far."""
        return self._tally.account()

    def mean_reward(self) -> float:
        """Returns the mean reward per decision of the last rollout."""
        return float(self._rewards.mean())

    def last_rollout(self) -> tuple[Tensor, Tensor]:
        """Returns the last rollout's rewards, and 1 where a decision ended its episode, each ``[T, R]``."""
        return self._rewards, torch.cat([self._dones[1:], self._next_done.unsqueeze(0)])

    def close(self) -> None:
        """Nothing to end."""
