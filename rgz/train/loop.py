"""One sitting of a run: updates, what is due between them, and every way in which it can end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rgz.errors import RgzError, explained
from rgz.messages import tr
from rgz.train.interrupt import catch_interrupt
from rgz.train.monitor import build_report, format_duration
from rgz.train.state import perplexity
from rgz.train.update import Updater, describe_skip, refuse_lost_weights, refuse_to_go_on
from rgz.train.verdict import find_overfitting

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer


class TrainingLoop:
    """Goes on from `trainer.state` until the last step, a limit, a callback's stop, Ctrl-C or an exception."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._state, self._args = trainer, trainer.state, trainer.args
        self._updated = self._out_of_time = False  # one update at least, or a run with a short limit never moves
        self._settled = False

    def run(self) -> None:
        """Raise what ended the run, if it did not end by itself, after everything that can be saved is saved."""
        trainer = self._trainer
        asked = tr("stopping after this step; press Ctrl-C again to stop without a checkpoint")
        with catch_interrupt(lambda: trainer.announce(asked)) as trainer.interrupt:
            trainer.updater = Updater(trainer.step, trainer.plan, self._args, trainer.interrupt)
            try:
                self._update()
                self._finish()
                self._settle()
            except BaseException as error:
                self._give_up(error)
                raise
            trainer.fire("on_train_end")

    def _update(self) -> None:
        trainer, state = self._trainer, self._state
        self._at_boundary()  # what an interruption left undone between two updates
        while state.step < state.max_steps and not state.stop_reason:
            if trainer.unheard:  # `| head` has its lines, or Ctrl-C ended `| tee` first
                trainer.interrupt.pressed = True
            if state.position == 0:
                trainer.fire("on_epoch_begin")
            done = trainer.updater.run(state)
            self._updated = True
            trainer.timer.step_done(done.n_tokens, done.n_sequences)
            if not done.finite:
                trainer.say(describe_skip(state, done))
                refuse_to_go_on(state, trainer.run.checkpoints() if trainer.run is not None else [])
            trainer.fire("on_step_end", *(["on_epoch_end"] if state.at_epoch_end else []))
            self._at_boundary()
        trainer.interrupt.check()

    def _at_boundary(self) -> None:
        """Evaluate, report, look at the clock and save, as far as due and not done yet for this step."""
        trainer, state, args = self._trainer, self._state, self._args
        among_best = False
        evaluate = state.step % trainer.plan.eval_every == 0 or state.step == state.max_steps
        if evaluate and state.step > state.last_eval_step:
            among_best = self._evaluate_and_report()
        elif state.step % args.logging_steps == 0 and state.step > state.last_log_step:
            self._report()
            trainer.fire("on_log")
        if args.max_time is not None and self._updated and trainer.timer.elapsed() >= float(args.max_time):
            self._out_of_time = True
            trainer.stop(self._time_is_up(format_duration(float(args.max_time))))
        if trainer.saver.due(among_best):
            self._save()

    def _time_is_up(self, limit: str) -> str:
        if self._trainer.saver.enabled:
            return tr("the time limit of {limit} is reached; go on with: {command}", limit=limit, command=self._resume)
        return tr("the time limit of {limit} is reached; without checkpoints this run cannot go on", limit=limit)

    @property
    def _resume(self) -> str:
        run = self._trainer.run
        return run.resume_command() if run is not None else "-"

    def _evaluate_and_report(self) -> bool:
        """Measure, report, keep the weights if they are the best yet, tell the callbacks; True if among the best."""
        trainer, state = self._trainer, self._state
        measured = trainer.evaluate() if trainer.has_validation else {}
        trainer.timer.evaluation_done()
        state.last_eval_step = state.step
        self._report(measured)
        state.metrics = dict(state.log_history[-1])
        if (loss := state.since_evaluation.mean) is not None:
            state.metrics.update(loss=loss, perplexity=perplexity(loss))
        state.since_evaluation.clear()
        among_best = False
        if (best := trainer.best) is not None:
            among_best = best.offer(state.metrics[best.monitor], state.step, trainer.model.parameters())
        if (watched := trainer.plan.schedule.watches) is not None:
            trainer.plan.schedule.observe(state.metrics[watched])
        trainer.fire("on_log", "on_evaluate")
        trainer.timer.evaluation_told()
        return among_best

    def _report(self, measured: Mapping[str, float] | None = None) -> None:
        trainer, state = self._trainer, self._state
        report: dict[str, Any] = build_report(state, trainer.timer.speeds(), trainer.eta_seconds(), measured or {})
        state.log_history.append(report)
        state.n_reports += 1
        state.last_log_step = state.step
        state.since_report.clear()

    def _save(self) -> None:
        self._trainer.timer.other_done()
        self._trainer.saver.save()
        self._trainer.fire("on_save")
        self._trainer.timer.save_done()

    # --- the end ---

    def _finish(self) -> None:
        if self._trainer.saver.due_at_end(interrupted=self._out_of_time):
            self._save()
        # After the checkpoint: a run that goes on from it must not have been evaluated out of turn.
        if self._state.step > self._state.last_eval_step:
            self._evaluate_and_report()

    def _give_up(self, error: BaseException) -> None:
        """Save what can be saved; what goes wrong meanwhile is said, the first error is the one raised."""
        trainer = self._trainer
        trainer.exception = error
        interrupted, torn = isinstance(error, KeyboardInterrupt), trainer.updater.mid_update
        if interrupted and torn:
            trainer.say(tr("stopped in the middle of an update: no checkpoint of this step is written"))
        elif interrupted and trainer.saver.due_at_end(interrupted=True):
            self._attempt(self._save, tr("interrupted again: no checkpoint of this step is written"))
        self._attempt(lambda: self._settle(failed=not interrupted or torn), tr("interrupted again"))
        try:
            trainer.fire("on_exception")
        finally:
            trainer.fire("on_train_end")
            if interrupted and trainer.saver.enabled:
                step, command = self._state.step, self._resume
                trainer.say(tr("interrupted at step {step}; go on with: {command}", step=step, command=command))

    def _attempt(self, write: Callable[[], None], given_up: str) -> None:
        """Write; what goes wrong is said. One more Ctrl-C gives this up, and all further writing."""
        try:
            write()
        except (OSError, RgzError) as error:
            self._trainer.say(str(error))
        except KeyboardInterrupt:
            self._settled = True
            self._trainer.say(given_up)

    def _settle(self, failed: bool = False) -> None:
        """Put the best weights back and write them; after a failure only those known to be good."""
        trainer, state = self._trainer, self._state
        restored = trainer.restore_best()
        if self._settled:  # or at least tried: what failed once is not tried again while giving up
            return
        self._settled = True
        if restored and trainer.best is not None and trainer.best.step != state.step:
            monitor, step, value = trainer.best.monitor, trainer.best.step, f"{trainer.best.value:.4f}"
            trainer.say(
                tr("the weights are those of step {step}: {monitor} {value}", step=step, monitor=monitor, value=value)
            )
        if not failed and not restored and (found := find_overfitting(state.log_history)) is not None:
            trainer.say(
                tr(
                    "the weights are the last ones; load_best_model_at_end would keep those of step {step}: "
                    "val_loss {value}",
                    step=found.best_step,
                    value=f"{found.best:.4f}",
                )
            )
        if trainer.run is not None and (restored or (not failed and state.step > 0)):
            refuse_lost_weights(state, trainer.model.parameters(), trainer.run.checkpoints())
            remedy = tr("make room, then go on with: {command}", command=self._resume)
            with explained(remedy=remedy if trainer.saver.last_step else ""):
                trainer.model.save_pretrained(trainer.run.path)
