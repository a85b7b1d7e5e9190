"""The face in libraries that are no dependencies: TorchRL, RLlib, Stable-Baselines3, SuperSuit. Skipped without."""

import numpy as np
import pytest
from headctl_envs import dogfight_v0

LAYOUTS = [
    {},
    {"action_layout": "multidiscrete"},
    {"action_layout": "flat"},
    {"action_layout": "flat", "observe_masks": True},
]


def ident(options):
    return " ".join(map(str, options.values())) or "dict"


@pytest.mark.parametrize("options", LAYOUTS, ids=ident)
def test_torchrl(options):
    pytest.importorskip("torchrl", reason="TorchRL is not installed")
    from torchrl.envs.libs.pettingzoo import PettingZooWrapper
    from torchrl.envs.utils import check_env_specs

    env = PettingZooWrapper(
        dogfight_v0.parallel_env(time_limit_s=5.0, **options),
        use_mask=True,
        done_on_any=False,
        categorical_actions=True,
    )
    assert set(env.group_map) == {"red", "blue"}
    check_env_specs(env)
    rollout = env.rollout(60, break_when_any_done=False)
    assert rollout.shape == (60,)
    assert rollout["next", "red", "observation"].shape[1] == 1


def test_rllib():
    ray = pytest.importorskip("ray", reason="RLlib is not installed")
    pytest.importorskip("ray.rllib", reason="RLlib is not installed")
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
    from ray.tune.registry import register_env

    register_env("dogfight", lambda config: ParallelPettingZooEnv(dogfight_v0.parallel_env(time_limit_s=5.0, **config)))
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        config = (
            PPOConfig()
            .api_stack(enable_rl_module_and_learner=True, enable_env_runner_and_connector_v2=True)
            .environment("dogfight", env_config={"observe_masks": False})
            .env_runners(num_env_runners=0)
            .training(train_batch_size_per_learner=200, minibatch_size=100, num_epochs=1)
            .multi_agent(policies={"shared"}, policy_mapping_fn=lambda agent, *_, **__: "shared")
        )
        algorithm = config.build_algo()
        result = algorithm.train()
        algorithm.stop()
    finally:
        ray.shutdown()
    assert result["env_runners"]["num_episodes"] > 0
    assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 200


def test_supersuit_and_stable_baselines():
    supersuit = pytest.importorskip("supersuit", reason="SuperSuit is not installed")
    baselines = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed")
    env = dogfight_v0.parallel_env(action_layout="flat", time_limit_s=5.0)
    vector = supersuit.concat_vec_envs_v1(
        supersuit.pettingzoo_env_to_vec_env_v1(env), 2, num_cpus=0, base_class="stable_baselines3"
    )
    model = baselines.PPO(
        "MlpPolicy", vector, n_steps=64, batch_size=64, n_epochs=1, device="cpu"
    )  # SuperSuit cannot seed
    model.learn(512)
    observations = vector.reset()
    actions, _ = model.predict(observations)
    assert observations.shape == (4, env.observation_space("red_0").shape[0])
    assert actions.shape == (4,)
    assert np.isfinite(observations).all()
