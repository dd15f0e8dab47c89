# %% [markdown]
# # From tables to deep Q-networks
#
# After this page you can
#
# - say what an action is worth, compute it where the world is known, and learn it where it is not;
# - keep apart what is easily mixed up: a slippery lake and one that only claims to be dry, the end of
#   a world and the end of our patience, the value of what should be done and of what is done;
# - show why a maximum over estimates is too large, and what a second estimate does about it;
# - put a network in the place of the table, with replay, a target network and priorities, write its
#   loss by hand, and balance a pole with it, measured against what a wrong target gets.
#
# To stay quick we use one seed and a few thousand steps; five seeds of full runs stand in
# [models/RESULTS.md](../models/RESULTS.md).

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.rl import (
    LinearSchedule,
    PrioritizedReplayBuffer,
    ReplayBuffer,
    SumTree,
    evaluate,
    make,
    make_vector,
    policy_value,
    random_policy,
    six_states_table,
    value_iteration,
)
from models.rl import dqn

mg.manual_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. What an action is worth
#
# Six cells; the goal pays 100, the hole costs 100, and both end the episode:
#
#     start   1     goal
#       3     4     hole
#
# An action's worth $Q(s, a)$ is its reward and, discounted by $\gamma$, what can be got afterwards if
# the best is done. That is an equation with $Q$ on both sides,
#
# $$Q(s, a) = r(s, a) + \gamma\, (1 - d)\, \max_{a'} Q(s', a'), \qquad d = 1 \text{ at an end},$$
#
# and since $\gamma < 1$ it can be solved by putting in what we have until nothing changes.

# %%
world = six_states_table()  # world[state][action] = [(probability, next state, reward, end), ...]
print("right of state 1:", world[1][2], " down of state 1:", world[1][1])

Q = np.zeros((6, 4))
for _ in range(10):
    for s in range(6):
        for a in range(4):
            [(probability, following, reward, end)] = world[s][a]  # one outcome, of probability 1
            Q[s, a] = reward + 0.9 * (not end) * Q[following].max()

assert np.array_equal(Q, value_iteration(world, 0.9))
figure, ax = plt.subplots(figsize=(3.6, 2.4))
ax.imshow(Q.max(1).reshape(2, 3), cmap="Blues", vmax=160)
for s in range(6):
    name = {2: "goal", 5: "hole"}.get(s, f"{'←↓→↑'[Q[s].argmax()]} {Q[s].max():.0f}")
    ax.text(s % 3, s // 3, name, ha="center", va="center")
ax.set(xticks=[], yticks=[], title="the best action and its worth")
plt.show()

# %% [markdown]
# ## 2. Learning it, step by step
#
# An agent does not have the table. It sees one step at a time, $(s, a, r, s', d)$, a sample of the
# right side, and goes a part $\alpha$ of the way towards it:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha\, [\, r + \gamma (1 - d) \max_{a'} Q(s', a') - Q(s, a)\, ].$$
#
# This is Q-learning. What the agent does meanwhile is its own affair, as long as it tries everything
# now and then: with probability $\varepsilon$ it acts at random.


# %%
def learn(env, steps, gamma, alpha, epsilon, rule="q", ends_at_limit=False):
    """A table (S, A) after so many steps. alpha and epsilon are functions of the step."""
    q = np.zeros((env.observation_space.n, env.action_space.n))

    def act(state, t):
        if rng.random() < epsilon(t):
            return int(rng.integers(q.shape[1]))
        return int(rng.choice(np.flatnonzero(q[state] == q[state].max())))  # ties: any of them

    state, _ = env.reset(seed=0)
    action = act(state, 0)
    for t in range(steps):
        following, reward, end, limit, _ = env.step(action)
        coming = act(following, t)
        future = q[following].max() if rule == "q" else q[following, coming]  # SARSA: section 5
        known_to_end = end or (ends_at_limit and limit)  # the second one is a mistake: section 4
        target = reward + gamma * (not known_to_end) * future
        q[state, action] += alpha(t) * (target - q[state, action])
        state, action = following, coming
        if end or limit:
            state, _ = env.reset()
            action = act(state, t)
    return q


def always(value):
    return lambda step: value


learned = learn(make("minigrad/SixStates"), 5000, 0.9, alpha=always(1.0), epsilon=always(0.3))
print("largest difference from the equation's solution:", np.abs(learned - Q).max())
assert np.array_equal(learned, Q)  # to the last bit

# %% [markdown]
# With $\alpha = 1$ the target simply replaces the value. That is right here, because nothing is
# random. It is not what makes it Q-learning; the maximum is.
#
# ## 3. A slippery lake, and one that claims to be dry
#
# On FrozenLake an action goes where it should in one step of three, and to either side in the others.
# Whether it does is built into the table when the lake is made. Popular code makes the lake first and
# sets the attribute afterwards:

# %%
claimed = make("FrozenLake-v1")
claimed.unwrapped.is_slippery = False
dry, wet = (make("FrozenLake-v1", is_slippery=slips) for slips in (False, True))
for name, lake in (("claimed", claimed), ("dry", dry), ("wet", wet)):
    table = lake.unwrapped.P
    plan = value_iteration(table, 0.99).argmax(1)
    crossing = policy_value(table, plan, steps=100)[0]
    print(f"{name:>8}: {len(table[0][2])} outcomes of a step to the right; "
          f"the best plan gets across with probability {crossing:.4f}")  # fmt: skip
assert len(claimed.unwrapped.P[0][2]) == 3

# %% [markdown]
# A source reports 76 % "without slipping" and 71 % with it: both are the slippery lake, give or take
# chance. `policy_value` has no such chance in it: it is the exact probability within 100 steps.
#
# Where outcomes are random, one sample must not replace what others have said, and $\alpha$ is the
# weight of the newest one. With $\alpha = 1$ the table only knows what happened last.

# %%
steps = 100_000
found = {}
for name, alpha in (("1", always(1.0)), (".1 to .01", LinearSchedule(0.1, 0.01, steps))):
    q = learn(wet, steps, 0.99, alpha, LinearSchedule(1.0, 0.1, steps))
    found[name] = policy_value(wet.unwrapped.P, q.argmax(1), steps=100)[0]
    print(f"alpha {name:>9}: gets across with probability {found[name]:.3f}")
chance = evaluate(random_policy(wet), "FrozenLake-v1", 1000, is_slippery=True).mean
print(f"at random: {chance:.3f}")
assert found[".1 to .01"] > 0.7 > 0.5 > found["1"]

# %% [markdown]
# ## 4. The end of the world, and the end of our patience
#
# gymnasium tells two ends apart: *terminated*, nothing follows, and *truncated*, a time limit: much
# would follow, nobody looks. Only the first makes $d = 1$. A world that pays 1 for each step, for
# ever, is worth $1 + \gamma + \gamma^2 + \ldots = 10$ with $\gamma = .9$, although we look at five
# steps at a time.


# %%
class Pays:
    """One state, one action, reward 1, a time limit of five steps and no end."""

    def __init__(self):
        space = type("Space", (), {"n": 1})
        self.observation_space = self.action_space = space

    def reset(self, seed=None):
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        return 0, 1.0, False, self.steps == 5, {}


right, wrong = (
    learn(Pays(), 3000, 0.9, always(0.1), always(0), ends_at_limit=flag)[0, 0]
    for flag in (False, True)
)
print(f"worth {right:.2f}; with the limit taken for an end {wrong:.2f}")
assert abs(right - 10) < 0.01 and wrong < 6

# %% [markdown]
# On CartPole the mistake teaches that a pole that has been balanced for 499 steps is about to be worth
# nothing.
#
# ## 5. What should be done, and what is done
#
# Q-learning's maximum is the value of a policy that does not explore, whatever the agent does. SARSA
# takes the action that is really done next, and learns the value of the exploring policy itself. On a
# cliff the difference shows. Each step costs 1, one over the edge 100 and back to the start; the
# shortest way is along the edge. Both can be computed: with exploration the value of a state is
# $(1 - \varepsilon) \max_a Q + \varepsilon\, \mathrm{mean}_a Q$.

# %%
cliff = make("CliffWalking-v1")
table = cliff.unwrapped.P
start = 36


def walk(q):
    return policy_value(table, q.argmax(1), steps=200)[start]


for epsilon in (0.0, 0.1, 0.2, 0.3):
    print(
        f"best for who explores {epsilon:.1f}: {walk(value_iteration(table, 1, epsilon=epsilon))}"
    )

fall = LinearSchedule(0.2, 0.01, 60_000)
q_learned = learn(cliff, 60_000, 1.0, fall, always(0.3))
sarsa_learned = learn(cliff, 60_000, 1.0, fall, always(0.3), rule="sarsa")
print("Q-learning's way:", walk(q_learned), " SARSA's way:", walk(sarsa_learned))
assert walk(q_learned) == -13 and walk(sarsa_learned) == -17

# %% [markdown]
# SARSA goes along the wall, because it knows itself. (Books show $-17$ for $\varepsilon = .1$; the
# equation says that the row in the middle, $-15$, is the best there.)
#
# ## 6. The maximum of noise
#
# Eight actions, all worth 0, each known up to noise of one standard deviation. The largest of the
# eight estimates is not 0 in the mean:

# %%
noise, second = rng.standard_normal((2, 100_000, 8))
single = noise.max(1)
double = second[np.arange(len(second)), noise.argmax(1)]
print(f"the maximum: {single.mean():.3f}   another's word on the best: {double.mean():.3f}")
assert abs(single.mean() - 1.424) < 0.02 and abs(double.mean()) < 0.02

# %% [markdown]
# And the target carries that one step on, to states before. *Double* Q-learning lets one estimate say
# which action is best and another one, of other noise, what it is worth: a lucky choice is not paid
# for twice. We come back to it with networks.
#
# ## 7. A network in the place of the table
#
# A pole on a cart has no 16 states but four numbers. $Q(s, \cdot\,; w)$ is now a network, and the step
# towards the target is one of gradient descent. Neighbouring steps look alike, so the agent remembers
# them and learns from a batch of any time (*replay*); and since a step towards the target would move
# the target as well, the target is computed with a copy $w^-$ of the weights that is renewed only now
# and then:
#
# $$L = \operatorname{mean}\, \ell\big(Q(s, a; w) - [\, r + \gamma (1 - d) \max_{a'} Q(s', a'; w^-)\,
# ]\big), \qquad \ell(\delta) = \tfrac12 \delta^2 \text{ or } |\delta| - \tfrac12.$$
#
# The second form of $\ell$, beyond 1, keeps a surprise from being a large step. By hand, and as
# `models/rl/dqn.py` has it:

# %%
memory = ReplayBuffer(1000, (4,))
x = rng.standard_normal((50, 4)).astype(np.float32)
memory.add(x, rng.integers(0, 2, 50), np.ones(50), x + 0.1, rng.random(50) < 0.1)
batch = memory.sample(32, rng)

agent = dqn.DQN(dqn.Config(), observations=4, actions=2, device="cpu")
with mg.no_grad():
    after = agent.target(mg.tensor(batch.next_observations)).numpy().max(1)
target = batch.rewards + 0.99 * (1 - batch.terminated) * after
chosen = agent.online(mg.tensor(batch.observations))[np.arange(32), batch.actions]
by_hand = F.smooth_l1_loss(chosen, mg.tensor(target))
loss, errors = agent.loss(batch)
assert np.isclose(loss.item(), by_hand.item()) and np.allclose(target, agent.targets(batch))
print(f"loss {loss.item():.4f}; the target has no gradient, {agent.target[0].weight.requires_grad}")

# %% [markdown]
# ## 8. Balancing a pole
#
# The loop is that of section 2, with a memory in between. Beside it runs an agent whose targets forget
# $(1 - d)$, as some code does: for it a fall is a step like any other.


# %%
class Forgetful(dqn.DQN):
    def targets(self, batch):
        return super().targets(replace(batch, terminated=np.zeros_like(batch.terminated)))


def train(kind, steps, **options):
    """The agent, and a line of figures after each 2500 steps."""
    mg.manual_seed(1)
    config = dqn.Config(epochs=1, epoch_steps=steps, exploration=0.4, **options)
    agent = kind(config, observations=4, actions=2, device="cpu")
    env = make_vector(config.env, 1)
    seen, _ = env.reset(seed=1)
    starts, lives, lines = np.repeat(seen, 20, 0), np.ones(1, bool), []
    for t in range(1, steps + 1):
        actions = agent.act(seen, t)
        following, rewards, ends, limits, _ = env.step(actions)
        if lives[0]:  # the step after an end only resets
            agent.memory.add(seen, actions, rewards, following, ends)
        lives, seen = ~(ends | limits), following
        if t >= config.warmup and t % config.train_every == 0:
            for _ in range(config.updates):
                agent.learn(t)
            agent.copy_to_target()
        if t % 2500 == 0:
            mean = evaluate(agent.policy, config.env, 20, seed=10**6).mean
            lines.append((t, mean, agent.values(starts).max(1).mean()))
    return agent, np.array(lines)


_, good = train(dqn.DQN, 15_000)
_, bad = train(Forgetful, 15_000)
print(f"best of six looks: {good[:, 1].max():.0f}; without (1 - d): {bad[:, 1].max():.0f}; "
      "at random: 22.6, always one action: 9.3")  # fmt: skip
assert good[:, 1].max() > 150 and good[:, 1].max() > 2 * bad[:, 1].max()

# %%
figure, (left, right_panel) = plt.subplots(1, 2, figsize=(9, 3))
for lines, label in ((good, "DQN"), (bad, "without (1 - d)")):
    left.plot(lines[:, 0], lines[:, 1], "o-", label=label)
    right_panel.plot(lines[:, 0], lines[:, 2], "o-", label=label)
left.axhline(22.6, color="0.5", linestyle="--", label="random policy")
left.set(xlabel="steps", ylabel="mean return", ylim=(0, None))
right_panel.axhline(100, color="0.5", linestyle=":", label="never falls: 1 / (1 - gamma)")
right_panel.set(xlabel="steps", ylabel="value of the beginning", ylim=(0, None))
for ax in (left, right_panel):
    ax.set_xticks([0, 5000, 10_000, 15_000])
    ax.legend()
plt.show()

# %% [markdown]
# The evaluation goes up and down: a small change of $Q$ can change which action is best everywhere at
# once. Runs in `models/rl` therefore look at episodes of seeds of their own after each epoch, keep the
# best epoch, and report 100 *further* episodes; after 50,000 steps that is 500, the limit.
#
# ## 9. Learning more from what was predicted badly
#
# *Prioritised* replay draws a transition in proportion to $p_i^\alpha$, with $p_i$ the size of its last
# error. To draw from a thousand changing numbers takes a tree whose nodes hold the sums of what is
# below: from the top, go left if the number drawn is smaller than the left sum.

# %%
sizes = rng.random(1000) ** 8
tree = SumTree(1000)
tree[np.arange(1000)] = sizes
draws = rng.random(5) * tree.total
assert np.array_equal(tree.find(draws), np.searchsorted(np.cumsum(sizes), draws, side="right"))

memory = PrioritizedReplayBuffer(4, (1,), alpha=1.0)
numbers = np.arange(4.0)[:, None]
places = memory.add(numbers, np.zeros(4), np.zeros(4), numbers, np.zeros(4))
memory.update(places, np.array([1.0, 2.0, 4.0, 8.0]))
batch = memory.sample(20_000, rng, beta=1.0)
drawn = batch.observations[:, 0]
print("shares:", np.bincount(drawn.astype(int)) / len(drawn), " of 1 : 2 : 4 : 8")
print(
    f"mean {drawn.mean():.3f}; weighted {np.average(drawn, weights=batch.weights):.3f} (even: 1.5)"
)
assert abs(np.average(drawn, weights=batch.weights) - 1.5) < 0.05

# %% [markdown]
# What is drawn more often counts for more; the weights $w_i = (N P(i))^{-\beta} / \max_j w_j$ take that
# back, at $\beta = 1$ entirely. Without $N$ and the maximum, which some code leaves out, they rescale
# the learning rate while the memory fills.
#
# ## Exercises
#
# 1. Which $\gamma$ makes the way from state 3 to the goal of section 1 worth exactly 25?
# 2. In section 6, how large is the mean of the maximum of *two* such estimates?
# 3. A network believes $Q = (5, 1, 2)$ in $s'$, its copy $(1, 3, 7)$. With $r = 10$ and $\gamma = .5$,
#    what are the targets of DQN and of Double DQN?

# %%
# Answers.
# 1: the goal is three steps away, and its 100 come with the third: 100 gamma^2 = 25.
assert np.isclose(value_iteration(world, 0.5)[3].max(), 25)

# 2: E max(a, b) = E |a - b| / 2 = sqrt(2) E |N(0, 1)| / 2 = 1 / sqrt(pi).
assert abs(noise[:, :2].max(1).mean() - 1 / np.sqrt(np.pi)) < 0.01

# 3: 10 + .5 * 7, and 10 + .5 * 1: the network says that action 0 is best, the copy what it is worth.
online, copied = np.array([5, 1, 2]), np.array([1, 3, 7])
assert (10 + 0.5 * copied.max(), 10 + 0.5 * copied[online.argmax()]) == (13.5, 10.5)
print("all answers check")
