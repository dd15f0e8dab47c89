r"""Agents whose learning is timed: one file each.

Belongs here: an algorithm's settings, once for both sides. Does not belong here: how it is timed
(``rl.py``).

A file is a module with

    TITLE        what it is, in a line
    STEPS        environment steps before the clock starts: a memory is filled, all is warm
    SIDES        {library: start}, where ``start()`` builds a learner with those settings and
                 returns ``advance``; ``advance(steps)`` lets it play and learn for that many
                 further steps of the environment (of all copies together), or a few more, and
                 returns how many

``on_policy.py`` is what those share that learn from rollouts. To add an agent, write its file and
add its name below.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["NAMES", "Advance", "folder"]

NAMES = ("a2c", "dqn", "ppo")
Advance = Callable[[int], int]


def folder() -> str:
    r"""A place for a run that nobody will look at."""
    return str(Path(tempfile.mkdtemp(prefix="minigrad-bench-"), "run"))
