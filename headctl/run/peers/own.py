"""headctl's own trainer, as ``headctl train`` runs it: latest against latest, both seats learn."""

import tempfile
from pathlib import Path

from headctl.run.config import RunConfig, parse_config
from headctl.run.peers.work import PETTINGZOO, Account, Tally, Work
from headctl.run.trainer import Trainer
from headctl.run.yaml_io import dump_yaml


def make_own(work: Work, route: str) -> "Own":
    """Returns headctl at work."""
    return Own(work, route)


def make_own_by_env(work: Work, route: str) -> "Own":
    """Returns headctl at work, stepping every PettingZoo environment by itself."""
    return Own(work, route, batched=False)


class Own:
    """Satisfies :class:`headctl.run.peers.work.Contestant`.

    Observation normalisation, metrics, the controller of the heads and the checks for numbers that are not finite are
    all on: it does what a run does, apart from saving.
    """

    def __init__(self, work: Work, route: str, *, batched: bool = True) -> None:
        """Makes trainer and games.

        Args:
            work: The work.
            route: One of the routes.
            batched: Whether PettingZoo environments are played as the batch that they offer.
        """
        self._folder = tempfile.TemporaryDirectory()
        self._trainer = Trainer(own_config(work, route, batched=batched), Path(self._folder.name))
        learner = self._trainer.learner
        self._tally = Tally(learner.optimizer, work.minibatch)
        self._records = self._trainer.iterations()
        policy = learner.policy
        self.outputs, self.features = policy.action_heads.num_params, int(policy.normalizer.mean.shape[0])
        self.rows = self._trainer.collector.rows

    def iterate(self) -> None:
        """Plays one rollout and learns from it."""
        next(self._records)

    def account(self) -> Account:
        """Returns what it has done so far."""
        self._tally.agent_steps = self._trainer.agent_steps
        return self._tally.account()

    def mean_reward(self) -> float:
        """Returns the mean reward per decision of the last rollout."""
        return float(self._trainer.collector.rollout.reward.mean())

    def close(self) -> None:
        """Ends the games and removes the folder."""
        self._trainer.close()
        self._folder.cleanup()


def own_config(work: Work, route: str, *, batched: bool = True) -> RunConfig:
    """Returns the configuration of a run that does the work."""
    game: dict[str, object] = {"name": work.game, "num_games": work.games, "options": dict(work.options)}
    if route == PETTINGZOO:
        game |= {"name": work.face, "workers": work.workers, "batched": batched}
        if work.game == "dogfight":
            game["options"] = {"gamma": work.gamma, **work.options}
    never = 10**12
    tree = {
        "seed": work.seed,
        "total_steps": never,
        "game": game,
        "policy": {"hidden": list(work.hidden), "activation": "tanh"},
        "ppo": {
            "rollout_steps": work.steps,
            "epochs": work.epochs,
            "minibatch_size": work.minibatch,
            "gamma": work.gamma,
            "gae_lambda": work.gae_lambda,
            "clip_coef": work.clip,
            "value_coef": work.value_coef,
            "learning_rate": work.learning_rate,
            "learning_rate_schedule": "constant",
            "max_grad_norm": work.max_grad_norm,
            "target_kl": None,
        },
        "selfplay": {"latest_share": 1.0, "snapshot_every": never},
        "checkpoint": {"every": never},
        "run": {"tensorboard": False, "threads": work.threads},
    }
    return parse_config(dump_yaml(tree))
