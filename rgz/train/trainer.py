"""A run: from a model, text and arguments to a trained model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO, TypeGuard

from rgz.config import TrainingArguments
from rgz.data import Dataset
from rgz.messages import tr
from rgz.strict import need_instance
from rgz.text.tokenizer import Progress
from rgz.train.best import BestWeights
from rgz.train.budget import fit_memory, go_on_with
from rgz.train.callbacks import Callback
from rgz.train.claim import claimed
from rgz.train.early_stopping import EarlyStopping
from rgz.train.evaluation import mean_loss
from rgz.train.interfaces import LossScaled, ModelLike, PathLike, StepFactory, StepLike
from rgz.train.interrupt import InterruptRequest
from rgz.train.loop import TrainingLoop
from rgz.train.metrics import VALIDATION_METRICS, check_monitor
from rgz.train.monitor import ConsoleReporter, build_report
from rgz.train.plan import TrainingPlan, make_step, plan_training
from rgz.train.reporters import file_reporters
from rgz.train.rundir import RunDirectory
from rgz.train.samples import Samples
from rgz.train.saving import Saver, changed_arguments, find_checkpoint
from rgz.train.state import TrainerState, perplexity
from rgz.train.timer import Clock, Timer
from rgz.train.update import Updater
from rgz.train.verdict import verdicts
from rgz.train.watch import Watch


class Trainer:
    """Trains `model` on `train`, as `args` say.

    train, val : Dataset or a list of texts (encoded here), or TokenData; val None holds args.validation_split
        of `train` out.
    callbacks : see Callback; an EarlyStopping is added for args.early_stopping_patience.
    run_info : noted in training_args.json beside the arguments (the data's paths), for resuming without them.
    progress : is told how many documents and characters of `train` are encoded, while that lasts.
    step_factory, clock, stream : what makes the update, tells seconds, and takes the console's lines.
    """

    def __init__(
        self,
        model: ModelLike,
        tokenizer: Any,
        train: Any,
        val: Any = None,
        args: TrainingArguments | None = None,
        callbacks: Sequence[Callback] = (),
        *,
        run_info: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        step_factory: StepFactory = make_step,
        clock: Clock = time.monotonic,
        stream: TextIO | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.args = args or TrainingArguments()
        need_instance("args", self.args, TrainingArguments)
        self.callbacks = list(callbacks)
        if (patience := self.args.early_stopping_patience) is not None:
            stopping = EarlyStopping(self.args.metric_for_best_model, self.args.early_stopping_min_delta, patience)
            self.callbacks.insert(0, stopping)
        self._watch = Watch()
        self.callbacks.insert(0, self._watch)
        self.run = RunDirectory(self.args.output_dir) if self.args.output_dir is not None else None
        self.state = TrainerState()
        self.best: BestWeights | None = None
        self.exception: BaseException | None = None
        self.plan: TrainingPlan
        self.step: StepLike
        self.saver: Saver
        self.timer: Timer
        self.updater: Updater
        self._data = (train, val)
        self._run_info = dict(run_info or {})
        self._progress = progress
        self._step_factory = step_factory
        self._clock = clock
        self._console = ConsoleReporter(stream)
        self._reporters = file_reporters(self.args.report_to, self.run)
        if "console" in self.args.report_to:
            self._reporters.append(self._console)
            if self.args.samples and tokenizer is not None and hasattr(model, "generate"):
                self._reporters.append(Samples())
        self.interrupt = InterruptRequest()

    def say(self, text: str) -> None:
        """One sentence to the user, above the progress bar; whatever args.report_to names, it is not lost."""
        self._console.say(text)

    def announce(self, text: str) -> None:
        """The same from a signal's handler."""
        self._console.announce(text)

    @property
    def unheard(self) -> bool:
        """Nobody reads what this run says any more."""
        return self._console.unheard

    def stop(self, reason: str) -> None:
        """End training after the current update; for callbacks."""
        self.state.stop_reason = self.state.stop_reason or reason

    @property
    def has_validation(self) -> bool:
        return self.plan.val_batches is not None

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What `state.metrics` will hold: the names that a callback may monitor."""
        scale = self.step.loss_scale if isinstance(self.step, LossScaled) else None
        logged = build_report(TrainerState(loss_scale=scale), (None, None), None, {})
        metrics = tuple(name for name in logged if name not in ("step", "epoch"))
        return metrics + (VALIDATION_METRICS if self.has_validation else ())

    def prepare(self) -> TrainingPlan:
        """Encode and count; done once, and by `train` where nobody asked before."""
        if not hasattr(self, "plan"):
            self.plan = plan_training(*self._data, self.tokenizer, self.args, self.model.config, self._progress)
            if self.args.max_memory is not None:
                self.args, chosen = fit_memory(self.model, self.args, self.plan.max_rows)
                self.plan = dataclasses.replace(self.plan, notices=(chosen, *self.plan.notices))
        return self.plan

    def train(self, resume_from_checkpoint: bool | PathLike | None = None) -> list[dict[str, Any]]:
        """Train to the end and return the reports, those before a resume included.

        resume_from_checkpoint : True for the newest whole checkpoint of output_dir, or a path; goes on
            exactly as if the run had never stopped.
        Ctrl-C writes a checkpoint, then KeyboardInterrupt is raised; a second one raises it at once. However
        training ends, the best weights are back in the model afterwards (args.load_best_model_at_end).
        Trainers in several Python threads take turns update by update; RgzError for two of one model or output_dir, and
        where another process trains in the run directory: it is locked until this returns.
        """
        with claimed(self.model, self.run):
            if self.run is None:
                return self._train(resume_from_checkpoint)
            try:
                self._tell(self.run.lock())
                return self._train(resume_from_checkpoint)
            finally:
                self.run.unlock()

    def _train(self, resume_from_checkpoint: bool | PathLike | None) -> list[dict[str, Any]]:
        checkpoint, in_place, notices = find_checkpoint(self.run, resume_from_checkpoint)
        if self.run is not None:
            self.run.refuse_if_unusable(overwrite=self.args.overwrite, resume=in_place)
        if checkpoint is not None:
            self.args = go_on_with(checkpoint, self.args)
        plan = self.prepare()
        self._tell(*notices, *_notices_of(self._data), *plan.notices)
        self.step = self._step_factory(self.model, self.args, plan.max_rows, plan.max_seqs)
        self.best = self._best_keeper()
        if plan.schedule.watches is not None:
            check_monitor(plan.schedule.watches, self)
        plan.schedule.load_state_dict({})
        self.saver = Saver(self)
        self.state = TrainerState() if checkpoint is None else self.saver.load(checkpoint, in_place)
        if checkpoint is not None and (changed := changed_arguments(checkpoint, self.args)):
            self.say(tr("this run began with other values of: {names}; the new ones hold from here on", names=changed))
        self.state.max_steps, self.state.batches_per_epoch = plan.max_steps, len(plan.batches)
        for callback in self.callbacks:
            callback.on_train_begin(self, self.state)
        if self.run is not None:
            notice = self.run.start(self.model.config, self.tokenizer, self.args, self._run_info, fresh=not in_place)
            self._tell(notice, self.saver.too_little_room())
            self.state.log_history = self.run.read_history(self.state.n_reports) if in_place else []
            self.saver.tidy()
        for reporter in self._reporters:
            reporter.on_train_begin(self, self.state)
        if self.state.step >= self.state.max_steps:
            self.say(tr("all {steps} steps of this run are done already", steps=self.state.max_steps))
        self.exception, self.timer = None, Timer(self._clock)
        TrainingLoop(self).run()
        history, skipped, watch = self.state.log_history, self.state.skipped_updates, self._watch
        self._tell(self.state.stop_reason, *verdicts(history, skipped, watch.spikes, watch.worst))
        return self.state.log_history

    def _tell(self, *sentences: str | None) -> None:
        for sentence in sentences:
            if sentence:
                self.say(sentence)

    def _best_keeper(self) -> BestWeights | None:
        """Who keeps the best weights: a callback that wants them back comes before the arguments."""
        for callback in self.callbacks:
            if _wants_best(callback):
                check_monitor(callback.monitor, self)
                return BestWeights(callback.monitor, callback.mode, self.args.save_best_limit)
        monitor = self.args.metric_for_best_model
        if "best" not in self.args.save_strategy and (
            not self.args.load_best_model_at_end or (monitor in VALIDATION_METRICS and not self.has_validation)
        ):
            return None
        check_monitor(monitor, self)
        return BestWeights(monitor, keep=self.args.save_best_limit)

    def restore_best(self) -> bool:
        """Put the best weights back, if somebody wants that and there are any."""
        wanted = self.args.load_best_model_at_end or any(map(_wants_best, self.callbacks))
        return wanted and self.best is not None and self.best.restore(self.model.parameters())

    def evaluate(self) -> dict[str, float]:
        """Loss a token on the validation data, and its perplexity, with the weights as they are."""
        assert self.plan.val_batches is not None
        loss, _ = mean_loss(self.step, self.plan.val_batches, self.interrupt.check)
        return {"val_loss": loss, "val_perplexity": perplexity(loss)}

    def eta_seconds(self) -> float | None:
        """Seconds until the last step or the time limit, whichever comes first."""
        state = self.state
        plan = self.plan
        eta = self.timer.eta(state.max_steps - state.step, plan.evaluations_left(state.step), plan.evaluation_steps)
        if eta is None:
            return None
        eta += self.saver.checkpoints_left(eta) * self.timer.save_time()
        if self.args.max_time is None:
            return eta
        return max(0.0, min(eta, float(self.args.max_time) - self.timer.elapsed()))

    def fire(self, *events: str) -> None:
        """Call hooks of everyone: of the reporters first, or a callback that raises would leave no report.

        Ctrl-C in one of them is raised when all have been called: the checkpoint that follows must not hold some that
        have seen this step and some that have not.
        """
        pressed: KeyboardInterrupt | None = None
        for event in events:
            for callback in (*self._reporters, *self.callbacks):
                hook: Callable[[Trainer, TrainerState], None] = getattr(callback, event)
                try:
                    hook(self, self.state)
                except KeyboardInterrupt as error:
                    pressed = error
        if pressed is not None:
            raise pressed


def _notices_of(data: Sequence[Any]) -> list[str]:
    """What the user should know about the reading of the data and has not been told yet."""
    return [notice for part in data if isinstance(part, Dataset) for notice in part.take_notices()]


def _wants_best(callback: Callback) -> TypeGuard[EarlyStopping]:
    return isinstance(callback, EarlyStopping) and callback.restore_best_weights
