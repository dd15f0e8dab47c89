r"""Reinforcement learning: agents that learn from what their actions bring."""
