r"""What the agents have in common that learn from rollouts: how each side is built.

Each library plays as its users do: here CartPole's vectorised form, there copies of it one after
the other.
"""

from __future__ import annotations

from typing import Any

from benchmarks.agents import Advance

ENV = "CartPole-v1"
WEIGHTS = 9155  # of both sides: two networks 4-64-64, two actions, a value


def check(parameters: Any) -> None:
    r"""The sides have networks of one size, or nothing is timed."""
    count = sum(p.numel() for p in parameters)
    if count != WEIGHTS:
        raise RuntimeError(f"expected {WEIGHTS} weights on both sides, got {count}")


def ours(config: Any, make_optimizer: Any, learn: Any) -> Advance:
    r"""Playing and learning as ``train`` of ``models/rl`` does, without evaluation.

    Args:
        learn: takes agent, optimiser, rollout, configuration.
    """
    import minigrad as mg
    from minigrad.rl import Collector, make_vector
    from models.rl.networks import ActorCritic

    mg.manual_seed(0)
    envs = make_vector(ENV, config.copies)
    agent = ActorCritic(envs, config)
    check(agent.learned())
    optimizer = make_optimizer(agent.learned())
    collector = Collector(envs, agent.draw)
    collector.reset(seed=0)

    def advance(steps: int) -> int:
        rounds = -(-steps // (config.rollout * config.copies))
        for _ in range(rounds):
            learn(agent, optimizer, collector.collect(config.rollout), config)
        return rounds * config.rollout * config.copies

    return advance


def against(algorithm: Any, settings: dict[str, Any], **own: Any) -> Advance:
    r"""The same settings by Stable-Baselines3's names; what is not named has its defaults, which
    are ours: tanh, orthogonal weights, the value's loss counted half."""
    from stable_baselines3.common.env_util import make_vec_env

    model = algorithm(
        "MlpPolicy", make_vec_env(ENV, n_envs=settings["copies"], seed=0),
        n_steps=settings["rollout"], learning_rate=settings["lr"], gamma=settings["gamma"],
        gae_lambda=settings["lam"], ent_coef=settings["entropy"],
        max_grad_norm=settings["clip_norm"], seed=0, device="cpu", **own,
    )  # fmt: skip
    check(model.policy.parameters())

    def advance(steps: int) -> int:
        before = model.num_timesteps
        model.learn(steps, reset_num_timesteps=False, log_interval=None)
        return int(model.num_timesteps - before)

    return advance
