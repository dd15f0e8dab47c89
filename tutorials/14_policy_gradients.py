# %% [markdown]
# # Policy gradients: from the bandit to A2C and PPO
#
# After this page you can
#
# - take the gradient of a mean over *choices*, which no chain rule goes through, from samples alone;
# - say what a baseline changes and what it cannot change, and compute both;
# - write the loss of a continuous policy so that its mean learns, and show the usual slip, with which
#   it never does;
# - tell the two ends of an episode apart, and say what it costs to confuse them;
# - write generalised advantages and PPO's clipped ratio, and train REINFORCE, A2C and PPO on a pole
#   to be balanced and a car to be got up a hill, each measured against what a wrong method gets.
#
# To stay quick we train for some ten thousand steps and with one seed; five seeds of full runs stand
# in [models/RESULTS.md](../models/RESULTS.md).

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.distributions import Categorical, Normal
from minigrad.rl import Collector, discounted_returns, evaluate, gae, make_vector, random_policy
from models.rl import a2c, ppo
from models.rl.networks import ActorCritic

mg.manual_seed(0)

# %% [markdown]
# ## 1. A gradient through a choice
#
# A bandit has three arms, which pay $r = (1, 2, 6)$. Arm $a$ is pulled with probability
# $\pi(a) = \operatorname{softmax}(\theta)_a$, and what we want to raise is
#
# $$J(\theta) = \sum_a \pi(a)\, r_a, \qquad \nabla J = \sum_a r_a \nabla \pi(a).$$
#
# If we knew all $r_a$ this were an ordinary sum, and backpropagation would do. But we see one arm at
# a time. The way out is $\nabla \pi = \pi\, \nabla \ln \pi$, for it makes the sum a mean again, and
# means can be sampled:
#
# $$\nabla J = \sum_a \pi(a)\, r_a \nabla \ln \pi(a) = \mathbb{E}\, [\, r_a \nabla \ln \pi(a)\, ].$$
#
# Nothing is differentiated but $\ln \pi$. The reward is a number that somebody calls out to us.

# %%
pays = mg.tensor([1.0, 2.0, 6.0])
theta = mg.tensor([0.5, 0.0, -0.5], requires_grad=True)

(Categorical(logits=theta).probs * pays).sum().backward()  # as if we knew all arms
exact = theta.grad.numpy().copy()


def pull(n, baseline=0.0):
    """n pulls, and the gradient of ln pi that each gives, times what it paid: (n, 3)."""
    p = Categorical(logits=theta.detach()).probs.numpy()
    arms = Categorical(logits=theta.detach()).sample((n,)).numpy()
    scores = np.eye(3)[arms] - p  # d ln softmax(theta)_a / d theta = 1_a - pi
    return (pays.numpy()[arms] - baseline)[:, None] * scores


# That the formula for the score is right, let autograd say.
theta.grad = None
Categorical(logits=theta).log_prob(mg.tensor(2)).backward()
assert np.allclose(theta.grad.numpy(), [0, 0, 1] - Categorical(logits=theta.detach()).probs.numpy())

for n in (100, 10_000):
    pulls = pull(n)
    print(f"{n:6} pulls: {pulls.mean(0).round(3)} +- {(pulls.std(0) / n**0.5).round(3)}")
print(f"exact:        {exact.round(3)}")
assert (abs(pulls.mean(0) - exact) < 4 * pulls.std(0) / 100).all()

# %% [markdown]
# ## 2. What was to be expected
#
# All arms pay something, so whichever is pulled is made likelier; that the bad ones lose comes out
# only on average. Take a baseline $b$ off every reward. The mean does not change,
#
# $$\mathbb{E}[\, b\, \nabla \ln \pi(a)\, ] = b \sum_a \nabla \pi(a) = b\, \nabla 1 = 0,$$
#
# whatever $b$ is, if only it does not depend on $a$. The variance does.

# %%
p = Categorical(logits=theta.detach()).probs.numpy()
scores = np.eye(3) - p  # (arm, theta)
baselines = np.linspace(-2, 8, 101)
means, variances = [], []
for b in baselines:  # no sampling: the three arms, each by its probability
    gradients = (pays.numpy() - b)[:, None] * scores
    means.append(p @ gradients)
    variances.append((p @ (gradients - exact) ** 2).sum())
assert np.allclose(means, exact, atol=1e-6)
value = float(p @ pays.numpy())
best = baselines[np.argmin(variances)]
at_zero, at_value = (np.interp(b, baselines, variances) for b in (0.0, value))
print(f"variance: {at_zero:.2f} without, {at_value:.2f} with b = E[r] = {value:.2f}, "
      f"least at b = {best:.1f}")  # fmt: skip
assert at_value < 0.4 * at_zero

figure, ax = plt.subplots(figsize=(4.5, 3))
ax.plot(baselines, variances)
ax.axvline(value, color="0.5", linestyle="--", label="E[r]")
ax.set(xlabel="baseline b", ylabel="variance of one pull's gradient", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# The mean reward is not the very best baseline, but near it, and it can be learned. With states it
# becomes $V(s)$, the value of a state, and $r - V(s)$ is called an advantage.
#
# ## 3. The action that was executed
#
# A continuous policy draws $a \sim N(\mu, \sigma^2)$, and
#
# $$\frac{\partial \ln \pi(a)}{\partial \mu} = \frac{a - \mu}{\sigma^2}$$
#
# for an $a$ that is *held still*: it happened. Popular code draws a new action inside the loss,
# $a' = \mu + \sigma \varepsilon$, and takes $\ln \pi(a')$. Then $(a' - \mu)/\sigma = \varepsilon$ does
# not depend on $\mu$ at all, and its gradient is 0. Let the reward be $-(a - 3)^2$ and begin at
# $\mu = 0$.


# %%
def learn_mean(redrawn, steps=300):
    mg.manual_seed(0)
    mean = mg.zeros(1, requires_grad=True)
    optimizer = optim.Adam([mean], lr=0.03)
    for _ in range(steps):
        policy = Normal(mean, 1.0)
        action = policy.sample((32,))  # executed, and from now on a constant
        reward = -((action - 3) ** 2)
        kept = policy.rsample((32,)) if redrawn else action
        loss = -((reward - reward.mean()) * policy.log_prob(kept)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mean.item()


right, wrong = learn_mean(redrawn=False), learn_mean(redrawn=True)
print(f"mean after 300 steps: {right:.2f} with the executed action, {wrong:.4f} with a redrawn one")
assert abs(right - 3) < 0.2 and abs(wrong) < 0.01

# %% [markdown]
# With a network in the place of $\mu$ the slip is hard to see: $\sigma$ has a gradient, the entropy
# falls, the curves move. Environments that clip an action add to the confusion. What is kept is the
# action as it was drawn, for that is where the density is; the clipped one is for the environment.
#
# ## 4. Episodes
#
# With many steps, $J = \mathbb{E} \sum_t r_t$, and the same trick on the probability of a whole
# episode gives a sum in which the world's own probabilities have no gradient. What remains is
#
# $$\nabla J = \mathbb{E} \sum_t G_t \nabla \ln \pi(a_t | s_t), \qquad
#   G_t = r_t + \gamma r_{t+1} + \gamma^2 r_{t+2} + \dots$$
#
# $G_t$ begins at $t$: what came before an action is not its doing. This is REINFORCE. CartPole pays 1
# for each step that the pole stands, 500 at most. Here it is, whole.

# %%
policy = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
optimizer = optim.Adam(policy.parameters(), lr=3e-3)
env = make_vector("CartPole-v1", 8)


def act(observations):
    with mg.no_grad():
        choice = Categorical(logits=policy(mg.tensor(observations)))
        actions = choice.sample()
        return actions.numpy(), choice.log_prob(actions).numpy()


def best_action(observations):
    with mg.no_grad():
        return policy(mg.tensor(np.float32(observations))).numpy().argmax(1)


miss = evaluate(random_policy(env), "CartPole-v1", 100).mean
collector, steps = Collector(env, act), 0
collector.reset(seed=0)
while steps < 40_000:
    rollout = collector.episodes()  # one whole episode of each of the 8 copies
    returns = discounted_returns(rollout.rewards, rollout.terminated, rollout.truncated, 0.99)
    x, a, g = map(mg.tensor, rollout.flat(rollout.observations[:-1], rollout.actions, returns))
    loss = -(g * Categorical(logits=policy(x)).log_prob(a)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    steps += len(g)
plain = evaluate(best_action, "CartPole-v1", 100)
print(f"REINFORCE after {steps} steps: {plain.mean:.0f} +- {plain.margin:.0f} "
      f"(random: {miss:.0f}, always left: 9)")  # fmt: skip
assert plain.mean > 100

# %% [markdown]
# The figure is that of 100 episodes of their own, with the likeliest action and without learning. The
# returns *during* training are those of a policy that still tries things, and of one that is gone.
#
# ## 5. Two ways to end
#
# CartPole ends when the pole falls. It also ends after 500 steps, when somebody stops looking.
# Gymnasium tells them apart, `terminated` and `truncated`; code that treats both as `done` teaches
# that the world ends in states that look like all others. How wrong does that get? In a world with
# one state, which pays 1 for ever, $V = 1 / (1 - \gamma)$. We look at it for 50 steps at a time.

# %%
gamma, T = 0.98, 50
rewards, no = np.ones((T, 1)), np.zeros((T, 1), bool)
limit = no.copy()
limit[-1] = True
values = {"bootstrapped": 0.0, "as if it ended": 0.0}
for _ in range(300):  # V becomes the mean of its targets, over and over
    v = np.full((T, 1), values["bootstrapped"])
    values["bootstrapped"] = discounted_returns(rewards, no, limit, gamma, v).mean()
    v = np.full((T, 1), values["as if it ended"])
    values["as if it ended"] = discounted_returns(rewards, limit, no, gamma, v).mean()
print({k: round(float(v), 1) for k, v in values.items()}, f"true: {1 / (1 - gamma):.1f}")
assert abs(values["bootstrapped"] - 50) < 0.1 and values["as if it ended"] < 25

# %% [markdown]
# ## 6. Advantages
#
# $G_t - V(s_t)$ is noisy, for it hangs on everything that happens up to the end. A *critic* that knows
# $V$ can answer after one step:
#
# $$\delta_t = r_t + \gamma V(s_{t+1}) - V(s_t),$$
#
# with little noise, and wrong by as much as $V$ is. Generalised advantages lie between:
#
# $$A_t = \delta_t + \gamma \lambda A_{t+1}, \qquad \lambda = 0: \delta_t, \qquad
#   \lambda = 1: G_t - V(s_t).$$
#
# After a termination the next value is 0; after any end, $A_{t+1}$ belongs to another episode.


# %%
def advantages(rewards, values, next_values, terminated, truncated, gamma, lam):
    out, later = np.zeros_like(values), 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * next_values[t] * (not terminated[t]) - values[t]
        later = delta + gamma * lam * later * (not (terminated[t] or truncated[t]))
        out[t] = later
    return out


rng = np.random.default_rng(0)
r, v, w = rng.normal(size=(3, 40))
ended, cut = rng.random((2, 40)) < 0.1
ours = advantages(r, v, w, ended, cut, 0.99, 0.9)
columns = (x[:, None] for x in (r, v, w, ended, cut))
assert np.allclose(ours, gae(*columns, gamma=0.99, lam=0.9)[:, 0], atol=1e-5)

# %% [markdown]
# What $\lambda$ buys and costs: each step pays 1 + noise, the critic knows all of this, but not that a
# good action at step 5 pays 3 at step 15. Its advantage is $3 \gamma^{10}$ in truth.

# %%
n, gamma = 40, 0.95
rewards = 1 + rng.normal(size=(n, 4000))
rewards[15] += 3
value = np.array([(1 - gamma ** (n - t)) / (1 - gamma) for t in range(n + 1)])
guess = np.repeat(value[:, None], 4000, 1)
no = np.zeros((n, 4000), bool)
lams = np.array([0, 0.5, 0.8, 0.9, 0.95, 1])
found = [gae(rewards, guess[:-1], guess[1:], no, no, gamma, lam)[5] for lam in lams]
seen, noise = np.array([(a.mean(), a.std()) for a in found]).T
assert abs(seen - 3 * (gamma * lams) ** 10).max() < 0.2 and np.all(np.diff(noise) > 0)

figure, ax = plt.subplots(figsize=(4.5, 3))
ax.plot(lams, seen, marker="o", label="mean")
ax.plot(lams, noise, marker="o", label="standard deviation")
ax.axhline(3 * gamma**10, color="0.5", linestyle="--", label="true advantage")
ax.set(xlabel="$\\lambda$", ylabel="estimates of the advantage")
ax.legend()
plt.show()

# %% [markdown]
# $\lambda = 0$ is quiet and sees nothing of what the critic does not know. $\lambda = 1$ is right and
# drowns it in noise. In practice $\lambda$ lies between .8 and .98; the critic learns meanwhile.
#
# ## 7. A2C
#
# Eight copies are played side by side for five steps, and everything learns once: the policy by
# $-A \ln \pi$ with $A$ a constant, the value by $(V - R)^2$ with the target $R = A + V$ a constant.
# If the critic's error flows through the actor's term as well, likely actions teach $V$ to call them
# good. A3C, which was first, has the copies in threads that overwrite each other's weights; A2C waits
# for all of them, and nothing is lost.


# %%
def play(algorithm, config, env_name, steps):
    """Train an agent of models/rl for ``steps``, and evaluate it."""
    mg.manual_seed(0)
    env = make_vector(env_name, config.copies)
    agent = ActorCritic(env, config)
    if algorithm is a2c:
        optimizer = optim.RMSprop(agent.learned(), lr=config.lr, alpha=0.99, eps=1e-5)
    else:
        optimizer = optim.Adam(agent.learned(), lr=config.lr, eps=1e-5)
    collector = Collector(env, agent.draw)
    collector.reset(seed=0)
    for done in range(0, steps, config.rollout * config.copies):
        rollout = collector.collect(config.rollout)
        left = (1 - done / steps,) if algorithm is ppo else ()
        algorithm.learn(agent, optimizer, rollout, config, *left)
        agent.learn_to_see(rollout)
    return agent, evaluate(agent.best, env_name, 100, seed=10)


_, found = play(a2c, a2c.Config(), "CartPole-v1", 40_000)
print(f"A2C after 40000 steps: {found.mean:.0f} +- {found.margin:.0f} (random: {miss:.0f})")
assert found.mean > 195

# %% [markdown]
# ## 8. PPO
#
# To play is dear, so one would like to learn from the same steps several times. But after the first
# step of the optimiser the policy is no longer the one that played. The ratio
# $\rho = \pi(a|s) / \pi_{\text{old}}(a|s)$ accounts for that, as long as it is near 1; beyond
# $1 \pm \epsilon$ nothing more shall be gained:
#
# $$L = -\overline{\min(\rho A,\ \operatorname{clip}(\rho, 1 - \epsilon, 1 + \epsilon)\, A)}.$$

# %%
ratio = np.linspace(0.4, 1.6, 121)
figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
for ax, a in zip(axes, (1.0, -1.0)):
    for name, objective in (("unclipped", ratio * a), ("clipped", np.clip(ratio, 0.8, 1.2) * a)):
        ax.plot(ratio, objective, "--", label=name)
    ax.plot(ratio, np.minimum(ratio * a, np.clip(ratio, 0.8, 1.2) * a), "k", label="min of both")
    ax.set(xlabel=f"ratio, A = {a:+.0f}")
axes[0].set_ylabel("objective")
axes[0].legend()
plt.show()

log_prob = mg.tensor(np.log(ratio, dtype=np.float32))
a = mg.tensor(rng.normal(size=121).astype(np.float32))
rho = log_prob.exp()
by_hand = -mg.minimum(rho * a, rho.clamp(0.8, 1.2) * a).mean()
model = ppo.policy_loss(log_prob, mg.zeros(121), a, 0.2)
assert np.isclose(by_hand.item(), model.item())

# %% [markdown]
# The black line is flat where the policy has gone far the *right* way, and only there. Where it has
# gone the wrong way, the slope stays and brings it back; the clipped term alone would leave it there.
#
# At $\rho = 1$ the gradient is that of $A \ln \pi$, so the first step of PPO is one of A2C.

# %%
_, found = play(ppo, ppo.Config(), "CartPole-v1", 20_000)
print(f"PPO after 20000 steps: {found.mean:.0f} +- {found.margin:.0f} (random: {miss:.0f})")
assert found.mean > 195

# %% [markdown]
# ## 9. A car that must first go the wrong way
#
# MountainCarContinuous pays 100 on top of the hill and takes $0.1 a^2$ for each step's push. The motor
# is too weak for the slope; one must swing. To do nothing gets 0, and whoever never saw the top learns
# to do nothing. How often does a policy that knows nothing, $\mu = 0$, see it? Noise that is drawn
# afresh at each step pushes to and fro and gets nowhere; a deviation that is kept up for 16 steps
# swings.

# %%
MC = "MountainCarContinuous-v0"
reached = {}
for hold in (1, 4, 16):
    config = a2c.Config(env=MC, hold=hold, copies=20)
    env = make_vector(MC, config.copies)
    mg.manual_seed(0)
    collector = Collector(env, ActorCritic(env, config).draw)
    collector.reset(seed=0)
    reached[hold] = float(np.mean([g > 0 or n < 999 for g, n in collector.episodes().finished]))
print("share of episodes that reach the top, by the steps of a deviation:", reached)
assert reached[1] < 0.25 and reached[16] > 0.6

# %% [markdown]
# The log-probability that is learned from is that of each action on its own, $N(\mu(s), \sigma^2)$,
# as in state-dependent exploration. Bang-bang, full force in the direction of motion, gets 89.4.

# %%
config = a2c.Config(env=MC, hold=16, normalise=True, rollout=64, lam=0.95)
agent, found = play(a2c, config, MC, 40_000)
print(f"A2C after 40000 steps: {found.mean:.1f} +- {found.margin:.1f} (do nothing: 0)")
assert found.mean > 80

side = 60
position, velocity = np.meshgrid(np.linspace(-1.2, 0.6, side), np.linspace(-0.07, 0.07, side))
push = agent.best(np.stack([position, velocity], -1).reshape(-1, 2)).reshape(side, side)
figure, ax = plt.subplots(figsize=(4.5, 3.2))
image = ax.pcolormesh(position, velocity, push, cmap="coolwarm", vmin=-1, vmax=1)
figure.colorbar(image, label="push")
ax.set(xlabel="position", ylabel="velocity")
plt.show()

# %% [markdown]
# It pushes where it is going: this is the swing, and nobody told it.
#
# ## Exercises
#
# 1. Which constant baseline makes the variance of section 2 least? Derive it, and compare.
# 2. The policy's entropy $-\sum_a \pi \ln \pi$ is often added to $J$. What is its gradient at an even
#    policy, and what has a loss that adds its *number*, computed before the graph?
# 3. In an episode of $T$ steps that pays 1 only at the end, what is the sum of all $\delta_t$ if
#    $\gamma = 1$ and $V$ is any function with $V(s_0) = 0.3$?

# %%
# Answers.
# 1: set the derivative of E[(r - b)^2 |score|^2] to 0: b = E[r |score|^2] / E[|score|^2].
weights = p * (scores**2).sum(1)
least = float(weights @ pays.numpy() / weights.sum())
assert abs(least - best) <= 0.1

# 2: zero, for the even policy has the largest entropy. A number has none anywhere.
theta = mg.zeros(3, requires_grad=True)
Categorical(logits=theta).entropy().backward()
assert np.allclose(theta.grad.numpy(), 0, atol=1e-7)

# 3: the values cancel in pairs, what is left is 1 - V(s_0) = 0.7.
v = np.concatenate([[0.3], rng.normal(size=7), [0.0]])
assert np.isclose((np.eye(8)[-1] + v[1:] - v[:-1]).sum(), 0.7)
print("all answers check")
