"""Speed and remaining time from one clock, which tests replace."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
_LEAST_WEIGHT = 0.005


class Timer:
    """Splits the time of one sitting into training, evaluations, checkpoints and the rest.

    Each `*_done` call charges the time since the previous call, so the sums are the whole time.
    evaluations, saves : how many there were.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = self._mark = clock()
        self._pace = self._other = self._evaluation = 0.0  # seconds a step, and seconds
        self._told = 0.0  # seconds that followed evaluations
        self._telling = False
        self._saving = 0.0
        self._steps = self.evaluations = self.saves = 0
        self._window = [0.0, 0, 0]  # seconds, tokens, sequences since the last report
        self.last_save = self._started

    def _lap(self) -> float:
        now = self._clock()
        seconds, self._mark = now - self._mark, now
        return seconds

    def elapsed(self) -> float:
        return self._clock() - self._started

    def since_save(self) -> float:
        return self._clock() - self.last_save

    def step_done(self, n_tokens: int, n_sequences: int) -> None:
        seconds = self._lap()
        self._steps += 1
        # A mean whose weights grow with the step's number, then fade after some 200 steps: it follows a machine that
        # others use, or that gets hot. The first step, which touches all memory for the first time, has no part.
        weight = max(2 / self._steps, _LEAST_WEIGHT) if self._steps > 1 else 1.0
        self._pace += weight * (seconds - self._pace)
        for i, amount in enumerate((seconds, n_tokens, n_sequences)):
            self._window[i] += amount

    def evaluation_done(self) -> None:
        self._evaluation += self._lap()
        self.evaluations += 1
        self._telling = True

    def evaluation_told(self) -> None:
        """What followed an evaluation, such as a sample of text, takes time at each of them too."""
        self._told += self._lap()
        self._telling = False

    def save_done(self) -> None:
        self._saving += self._lap()
        self.saves += 1
        self.last_save = self._clock()

    def other_done(self) -> None:
        self._other += self._lap()

    def save_time(self) -> float:
        """Seconds that a checkpoint took so far on average, 0 before the first."""
        return self._saving / max(self.saves, 1)

    def speeds(self) -> tuple[float | None, float | None]:
        """Tokens and sequences a second of training since the previous call; None if no time passed."""
        seconds, tokens, sequences = self._window
        self._window = [0.0, 0, 0]
        return (tokens / seconds, sequences / seconds) if seconds > 0 else (None, None)

    def eta(self, steps_left: int, evaluations_left: int, evaluation_steps: float = 0.0) -> float | None:
        """Seconds to go at the pace of this sitting, without checkpoints; None before the first step.

        evaluation_steps : how many steps an evaluation is thought to take as long as, until one was timed.
        """
        if self._steps == 0:
            return None
        eta = steps_left * (self._pace + self._other / self._steps)
        if not self.evaluations:
            return eta + evaluations_left * evaluation_steps * self._pace
        told = self._told / max(self.evaluations - self._telling, 1)
        if self._telling and steps_left:
            eta += told  # of the evaluation that is being told
        return eta + evaluations_left * (self._evaluation / self.evaluations + told)
