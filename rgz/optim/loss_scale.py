"""The factor that keeps small gradients from vanishing in float16."""

from __future__ import annotations

from rgz.strict import is_finite, need_that

TOKENS = 1024  # that the scaled loss is a mean over, as of a batch: it makes scales comparable to those of elsewhere


class LossScale:
    """Multiplies the gradients of the mean loss of 1,024 tokens on their way through the activations.

    Begins at 65,536; halves when a gradient overflows, whose update is skipped; doubles after 2,000 updates in a row
    without; stays in [1, 2**24], beyond which a token whose probability is 0 would overflow float16 by itself.
    static : this factor from first to last instead. All are powers of two or, if static, what the user says.
    Source: Micikevicius et al. 2018, "Mixed precision training", arXiv:1710.03740, section 3.2.
    """

    START, LEAST, MOST, PATIENCE = 65536.0, 1.0, 2.0**24, 2000

    def __init__(self, static: float | None = None) -> None:
        if static is not None:
            need_that("loss_scale", static, is_finite(static) and 0 < static <= self.MOST, "> 0, <= 2**24")
        self.static = static is not None
        self.value = self.START if static is None else float(static)
        self.good = 0  # updates since the last change

    @property
    def seed(self) -> float:
        """The factor of one token's gradient."""
        return self.value / TOKENS

    def succeeded(self) -> None:
        self.good += 1
        if not self.static and self.good >= self.PATIENCE:
            self.value, self.good = min(2 * self.value, self.MOST), 0

    def overflowed(self) -> bool:
        """Halve; False where that is not possible, and the gradient is not finite for another reason."""
        if self.static or self.value <= self.LEAST:
            return False
        self.value, self.good = self.value / 2, 0
        return True

    def state_dict(self) -> dict[str, float]:
        return {"value": self.value, "good": self.good}

    def load_state_dict(self, values: dict[str, float]) -> None:
        """ValueError for a scale that none of these steps leads to."""
        if self.static:
            return
        if not self.LEAST <= values["value"] <= self.MOST:
            raise ValueError(f"loss scale {values['value']}")
        self.value, self.good = float(values["value"]), int(values["good"])
