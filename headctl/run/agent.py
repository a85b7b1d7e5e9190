"""The agent of a run: made from a configuration, or read from the newest checkpoint that is whole."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from headctl.entropy.controller import MultiHeadEntropyController
from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import Policy
from headctl.ppo.learner import PPOOptions
from headctl.ppo.rollout import Cut
from headctl.run.changes import changed_keys, may_change, may_change_text
from headctl.run.checkpoint import Checkpoint, CheckpointError, newest_usable
from headctl.run.config import RunConfig
from headctl.run.folder import RunFolderError
from headctl.run.formats import migrated
from headctl.run.scheme import check_scheme
from headctl.selfplay.catalog import make
from headctl.selfplay.games import VectorGame


def build_agent(
    config: RunConfig, game: VectorGame, generator: torch.Generator
) -> tuple[Policy, MultiHeadEntropyController]:
    """Returns the policy and the controller that a configuration asks for, on the game's device."""
    specs = resolve_heads(describe_space(game.action_space), config.heads)
    policy = Policy(
        game.observation_dim,
        ActionHeads(specs, game.action_space),
        hidden=config.policy.hidden,
        activation=config.policy.activation,
        memory=config.policy.recurrent.size,
        normalize_values=config.ppo.normalize_values,
        generator=generator,
    ).to(game.device)
    return policy, MultiHeadEntropyController(specs, device=game.device)


def ppo_options(config: RunConfig) -> PPOOptions:
    """Returns the knobs of the update that a configuration asks for."""
    recurrent = config.policy.recurrent
    return PPOOptions(
        **config.ppo.model_dump(exclude={"rollout_steps", "normalize_values"}),
        cut=Cut(recurrent.sequence_length, recurrent.burn_in),
    )


def load_policy(config: RunConfig, run_dir: Path) -> Policy:
    """Returns the policy of a run's newest checkpoint that is whole.

    Raises:
        CheckpointError: No checkpoint, or one that is damaged or of another configuration.
    """
    return load_agent(config, run_dir)[0]


def load_agent(config: RunConfig, run_dir: Path) -> tuple[Policy, int]:
    """Returns the policy of a run's newest checkpoint that is whole, and its age in agent-steps.

    Raises:
        CheckpointError: No checkpoint, or one that is damaged or of another configuration.
    """
    game = make(config.game.name, config.game.options, num_games=1, seed=0, device="cpu")
    policy, _ = build_agent(config, game, torch.Generator())

    def take(checkpoint: Checkpoint) -> tuple[Policy, int]:
        state = migrated(checkpoint)
        with fitting(checkpoint):
            check_config(checkpoint.path, state.get("config"), config)
            weights = state["learner"]["policy"]
            check_scheme(weights, policy.state_dict(), "learner.policy")
            policy.load_state_dict(weights)
        return policy, checkpoint.agent_steps

    return newest_usable(run_dir, take, warn)


def check_config(path: Path, written: Any, config: RunConfig) -> None:
    """Makes sure that a checkpoint is of this configuration, up to what may change.

    Args:
        path: The checkpoint.
        written: The configuration in it; ``None`` where it has none.
        config: That of the run.

    Raises:
        CheckpointError: Names every key that differs.
    """
    if written is None:
        return
    if not isinstance(written, Mapping):
        raise CheckpointError(f"{path}: the configuration in it is none")
    differing = changed_keys(written, config.model_dump(mode="python"))
    refused = [
        f"{key} was {_short(before)}, is {_short(after)}"
        for key, (before, after) in differing.items()
        if not may_change(key)
    ]
    if refused:
        raise CheckpointError(
            f"{path}: does not fit this configuration: {'; '.join(refused)}. A run that is resumed may change only "
            f"{may_change_text()}"
        )


@contextmanager
def fitting(checkpoint: Checkpoint) -> Iterator[None]:
    """Turns whatever a state of another configuration breaks into one message."""
    try:
        yield
    except CheckpointError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        what = " ".join(str(error).split())
        raise CheckpointError(
            f"{checkpoint.path}: does not fit this configuration: {type(error).__name__}: {what}; it was written by "
            f"headctl {checkpoint.writer}"
        ) from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def warn(text: str) -> None:
    """Says something that was survived, where nobody listens more closely."""
    warnings.warn(text, RuntimeWarning, stacklevel=3)


def check_same_game(name: str, other: RunConfig, source: str, config: RunConfig, game: VectorGame) -> None:
    """Refuses a run that was trained in a game with other observations or heads.

    Args:
        name: What the user called it.
        other: Its configuration.
        source: What the user called the game that is played.
        config: The configuration of that game.
        game: One of these games.

    Raises:
        RunFolderError: It was trained in another game.
    """
    theirs = make(other.game.name, other.game.options, num_games=1, seed=0, gamma=other.ppo.gamma)
    if theirs.observation_dim != game.observation_dim or theirs.action_space != game.action_space:
        raise RunFolderError(
            f"{name} was trained in another game: {other.game.name} with {theirs.observation_dim} observations and "
            f"heads {theirs.action_space}; {source} has {config.game.name} with {game.observation_dim} "
            f"and {game.action_space}"
        )
