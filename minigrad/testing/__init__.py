r"""What users and our own tests check gradients and devices with.

``gradcheck`` and ``gradgradcheck`` compare gradient rules with finite differences;
``minigrad.testing.strategies`` draws shapes, layouts and arguments (needs hypothesis);
``minigrad.testing.strict`` is an array module with CuPy's manners that runs without a GPU.
"""

from __future__ import annotations

from minigrad.testing.gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
