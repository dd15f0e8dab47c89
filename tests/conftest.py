r"""What every test shares: hypothesis profiles, slow tests, and a fixed seed.

Belongs here: settings of the whole suite. Does not belong here: helpers for one family of tests
(they stand in its folder), and strategies that users need too (``minigrad.testing``).

``MINIGRAD_TEST_PROFILE`` picks how hard to look:

========== ========= =========== ==========================================================
profile    examples  slow tests  for
========== ========= =========== ==========================================================
quick      15        skipped     every change (the default); the same examples every time
ci         60        run         before a release; the same examples every time
thorough   500       run         the search for bugs; new examples each time, failures kept
========== ========= =========== ==========================================================
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import minigrad.testing.strict  # noqa: F401  registers the device "strict"
from minigrad.backend import cuda_is_available, manual_seed

PROFILE = os.environ.get("MINIGRAD_TEST_PROFILE", "quick")

# A busy machine must not fail a test: no deadlines, and slow data generation is no error.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=15, derandomize=True, database=None, **_common)
settings.register_profile("ci", max_examples=60, derandomize=True, database=None, **_common)
settings.register_profile("thorough", max_examples=500, print_blob=True, **_common)

if PROFILE not in ("quick", "ci", "thorough"):
    raise pytest.UsageError(
        f"MINIGRAD_TEST_PROFILE: expected quick, ci or thorough, got {PROFILE!r}"
    )
settings.load_profile(PROFILE)


def pytest_report_header() -> str:
    return f"minigrad: profile {PROFILE}, numpy {np.__version__}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests under the quick profile, unless ``-m`` says which tests to run."""
    if PROFILE != "quick" or config.getoption("markexpr"):
        return
    skip = pytest.mark.skip(reason="slow: set MINIGRAD_TEST_PROFILE=ci, or run with -m slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _same_seed_for_every_test() -> None:
    """No test depends on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  third-party code may draw from it
    manual_seed(0)


DEVICES = ["cpu", "strict", *(["cuda"] if cuda_is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Every backend: NumPy, the strict array module, and CuPy where there is a GPU."""
    return str(request.param)
