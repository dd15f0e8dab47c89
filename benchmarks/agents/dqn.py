r"""DQN on CartPole, with the settings of ``models/rl/dqn.py``."""

from __future__ import annotations

from benchmarks.agents import Advance, folder

TITLE = "DQN, CartPole-v1, 4-64-64-2, batch 64, 128 updates after every 256 steps"
STEPS = 2048

LR, BATCH, CAPACITY, WARMUP, EVERY, UPDATES, GAMMA = 2.3e-3, 64, 100_000, 1000, 256, 128, 0.99
EPSILON, MAX_NORM, HIDDEN = 0.04, 10.0, (64, 64)


def minigrad() -> Advance:
    from dataclasses import replace

    from minigrad.rl import make_vector
    from minigrad.train import Run
    from models.rl import dqn

    config = dqn.Config(
        lr=LR, batch_size=BATCH, capacity=CAPACITY, warmup=WARMUP, train_every=EVERY,
        updates=UPDATES, target_every=EVERY, gamma=GAMMA, epsilon=EPSILON, epsilon_end=EPSILON,
        max_norm=MAX_NORM, hidden=HIDDEN, out=folder(),
    )  # fmt: skip
    run = Run(config)
    agent = dqn.DQN(config, 4, 2, run.device)
    envs = make_vector(config.env, config.copies)

    def advance(steps: int) -> int:
        before = run.step
        dqn.play(run, replace(config, epoch_steps=steps), agent, envs)
        return run.step - before

    return advance


def stable_baselines3() -> Advance:
    from stable_baselines3 import DQN

    model = DQN(
        "MlpPolicy", "CartPole-v1", learning_rate=LR, batch_size=BATCH, buffer_size=CAPACITY,
        learning_starts=WARMUP, train_freq=EVERY, gradient_steps=UPDATES,
        target_update_interval=EVERY, gamma=GAMMA, exploration_initial_eps=EPSILON,
        exploration_final_eps=EPSILON, max_grad_norm=MAX_NORM, seed=0, device="cpu",
        policy_kwargs={"net_arch": list(HIDDEN)},
    )  # fmt: skip

    def advance(steps: int) -> int:
        before = model.num_timesteps
        model.learn(steps, reset_num_timesteps=False, log_interval=None)
        return int(model.num_timesteps - before)

    return advance


SIDES = {"minigrad": minigrad, "stable_baselines3": stable_baselines3}
