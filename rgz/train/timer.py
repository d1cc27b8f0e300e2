"""Speed and remaining time from one clock, which tests replace."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]


class Timer:
    """Splits the time of one sitting into training, evaluation and the rest.

    Each `*_done` call charges the time since the previous call, so the three sums are the whole time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = self._mark = clock()
        self._train = self._first = self._other = self._evaluation = 0.0
        self._steps = self._evaluations = 0
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
        if self._steps == 0:
            self._first = seconds
        self._train += seconds
        self._steps += 1
        for i, amount in enumerate((seconds, n_tokens, n_sequences)):
            self._window[i] += amount

    def evaluation_done(self) -> None:
        self._evaluation += self._lap()
        self._evaluations += 1

    def save_done(self) -> None:
        self.other_done()
        self.last_save = self._clock()

    def other_done(self) -> None:
        self._other += self._lap()

    def speeds(self) -> tuple[float | None, float | None]:
        """Tokens and sequences a second of training since the previous call; None if no time passed."""
        seconds, tokens, sequences = self._window
        self._window = [0.0, 0, 0]
        return (tokens / seconds, sequences / seconds) if seconds > 0 else (None, None)

    def eta(self, steps_left: int, evaluations_left: int) -> float | None:
        """Seconds to go at the pace of this sitting; None before the first step."""
        if self._steps == 0:
            return None
        # The first step touches all memory for the first time and would weigh for long in a short run.
        pace = (self._train - self._first) / (self._steps - 1) if self._steps > 1 else self._train
        pace += self._other / self._steps
        an_evaluation = self._evaluation / self._evaluations if self._evaluations else 0.0
        return steps_left * pace + evaluations_left * an_evaluation
