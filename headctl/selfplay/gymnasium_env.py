"""A Gymnasium environment as a PettingZoo ``ParallelEnv`` with one agent: a game of one side."""

from typing import Any, ClassVar

import gymnasium
from gymnasium import spaces
from pettingzoo import ParallelEnv

AGENT = "agent_0"
"""Name of the only agent."""


class GymnasiumEnv(ParallelEnv[str, Any, Any]):
    """One environment from Gymnasium's registry."""

    metadata: ClassVar[dict[str, Any]] = {"name": "gymnasium"}  # pyright: ignore[reportIncompatibleVariableOverride]  - never reassigned

    def __init__(self, env_id: str, **options: Any) -> None:
        """Makes the environment.

        Args:
            env_id: As :func:`gymnasium.make` takes it.
            **options: Its other arguments.

        Raises:
            gymnasium.error.Error: There is no such environment, or it refuses an option.
        """
        self._env = gymnasium.make(env_id, **options)
        self.possible_agents = [AGENT]
        self.agents: list[str] = []
        self.render_mode = self._env.render_mode

    def observation_space(self, agent: str) -> spaces.Space:  # noqa: ARG002 - there is only one
        """Returns the environment's own."""
        return self._env.observation_space

    def action_space(self, agent: str) -> spaces.Space:  # noqa: ARG002 - as above
        """Returns the environment's own."""
        return self._env.action_space

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begins an episode."""
        observation, info = self._env.reset(seed=seed, options=options)
        self.agents = [AGENT]
        return {AGENT: observation}, {AGENT: info}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Plays one decision."""
        observation, reward, terminated, truncated, info = self._env.step(actions[AGENT])
        if terminated or truncated:
            self.agents = []
        return {AGENT: observation}, {AGENT: float(reward)}, {AGENT: terminated}, {AGENT: truncated}, {AGENT: info}

    def render(self) -> Any:
        """Shows what the environment shows."""
        return self._env.render()

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()


class GymnasiumFactory:
    """Makes environments of one name; may be handed to other processes."""

    def __init__(self, env_id: str) -> None:
        """Keeps the name, also as what reports of faults call the factory."""
        self.env_id = env_id
        self.__module__, self.__qualname__ = "gymnasium", env_id

    def __call__(self, **options: Any) -> GymnasiumEnv:
        """Makes one environment."""
        return GymnasiumEnv(self.env_id, **options)
