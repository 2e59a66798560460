"""The trainer: one loop for every training, on one device or on many. Knows no model and no loss.

It averages gradients over processes (DDP, or FSDP2, which also shards weights, gradients and optimizer state), splits a
batch that is too large, follows the schedule, keeps the average of the weights, and can go on from its last checkpoint
on another number of processes.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from worldsim.device import map_tuple, mixed_precision, policy_of
from worldsim.errors import WorldsimError
from worldsim.progress import ProgressBar
from worldsim.stopping import stop_requested
from worldsim.train import checkpoint, distributed
from worldsim.train.draws import Draws

SAVE_EVERY = 60.0  # seconds
PREVIEW_EVERY = 240.0  # seconds
PLOT_EVERY = 20  # steps
FORMAT = 2  # of a training's checkpoint
WARM_UP = 200  # steps
DECAY = 0.25  # of the training
EMA_DECAY = 0.999


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a training runs. What it learns depends on the recipe, and on this by rounding and by how long it lasts.

    Attributes:
        device: where; `worldsim.device.choose_device` finds it.
        minutes: train for so long instead of for the recipe's steps, 0 for those.
        accumulate: parts that each process's rows are split into, one after the other, to need less memory.
        fsdp: shard weights, gradients and optimizer state over the processes (FSDP2) instead of copying them (DDP).
        compile: compile the loss, if the device's compiler is there.
    """

    device: torch.device
    minutes: float = 0.0
    accumulate: int = 1
    fsdp: bool = False
    compile: bool = True

    def share(self, part: float) -> RunOptions:
        """For a training that is a `part` of the whole: its part of the time."""
        return dataclasses.replace(self, minutes=self.minutes * part)


ON_CPU = RunOptions(torch.device("cpu"))


def learning_rate(step: int, left: float, timed: bool = False) -> float:
    """Learning rate as a share of its peak, when a share `left` of the training is to come: linear warm-up, constant,
    then one linear decay over the last part. If it is `timed`, the warm-up takes a tenth of it at most."""
    warm_up = max((step + 1) / WARM_UP, 10 * (1 - left) if timed else 0.0)
    return min(1.0, warm_up, max(0.0, left) / DECAY)


class Training(Protocol):
    """What every kind of training sets, in a dataclass beside what is its own."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def steps(self) -> int:
        """When to stop, if no minutes are named."""

    @property
    def batch(self) -> int:
        """Rows of a step, in all processes together."""

    @property
    def seed(self) -> int:
        """Of the draws."""

    @property
    def lr(self) -> float:
        """Peak of the learning rate."""


class Trainer:
    """Train until the end, resumable at any moment from the last checkpoint in `out`.

    Args:
        out: folder of the run.
        name: of what is trained: `<name>.checkpoint` and the curves carry it.
        model: trained in place. Part of `loss`, whose `forward(*batch)` returns a scalar "loss", and what else is to be
            plotted (scalars) or used (with the rows first).
        optimizers: makes them for the model and a learning rate, the peak of the schedule.
        training: how it is trained. A checkpoint that was trained otherwise, but for the steps, is refused.
        settings: JSON of what else decides the result, and is compared too.
        averaged: whether what is learned is the moving average of the weights and not the last of them.
        mixed: whether products are made in the number format that is fast on the device, or in float32.

    Raises:
        WorldsimError: if the batch does not divide, or there is a checkpoint that does not fit.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        model: nn.Module,
        loss: nn.Module,
        optimizers: Callable[[nn.Module, float], list[Optimizer]],
        training: Training,
        settings: dict[str, Any],
        *,
        options: RunOptions,
        averaged: bool = True,
        mixed: bool = True,
    ):
        self.out, self.name, self.model = out, name, model
        self.steps, self.batch, self.seed = training.steps, training.batch, training.seed
        self.options, self.policy, self._mixed = options, policy_of(options.device), mixed
        settings = {**dataclasses.asdict(training), **settings}
        del settings["steps"]
        self.settings = json.loads(json.dumps(settings))  # as a checkpoint gives them back
        self.path = out / f"{name}.checkpoint"
        self.step, self.elapsed = 0, 0.0
        self._check_batch()
        loss.to(options.device)
        # FSDP2 shards no scalars: their gradients are averaged here, and they go one by one beside what is sharded.
        self._scalars = [p for p in model.parameters() if p.ndim == 0 and options.fsdp]
        how: dict[str, Any] = {"avg_fn": self._average_one} if options.fsdp else {"multi_avg_fn": self._average_all}
        self.average = AveragedModel(model, **how) if averaged else None
        self.loss = loss
        self._plain = copy.deepcopy(model).cpu() if options.fsdp else None  # to hold whole weights for a while
        self._forward = self._over_processes()
        self.optimizers = optimizers(model, training.lr)
        for optimizer in self.optimizers if self._scalars else ():
            for group in optimizer.param_groups:
                group["foreach"] = False
        if self.path.exists():
            self._resume()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self._schedulers = [LambdaLR(o, lambda _: self._lr(), last_epoch=self.step - 1) for o in self.optimizers]
        if distributed.means([self.step]) != [self.step]:
            raise WorldsimError(f"not every process of this training sees {self.path}; give an --out that all can read")
        main = distributed.is_main()
        self._curves = SummaryWriter(str(out / "curves" / name), purge_step=self.step) if main else None

    @property
    def left(self) -> float:
        """Share of the training that is to come, of its time or of its steps."""
        if self.options.minutes:
            return 1 - self.elapsed / (60 * self.options.minutes)
        return (self.steps - self.step) / max(self.steps, 1)

    @property
    def share(self) -> float:
        """Share of the training that is over."""
        if self.options.minutes:
            return min(1.0, self.elapsed / (60 * self.options.minutes))
        return self.step / max(self.steps, 1)

    def draws(self) -> Draws:
        """The next step's random numbers."""
        return Draws(self.seed, self.step, self.batch, self.share, self.policy)

    def run(
        self,
        train_step: Callable[[Draws], dict[str, Tensor]],
        preview: Callable[[int, nn.Module], dict[str, float]],
        preview_every: float = PREVIEW_EVERY,
    ) -> nn.Module:
        """Train to the end.

        Args:
            train_step: makes a batch, calls `update` with it and returns what to plot.
            preview: step number and what is learned so far -> what to plot of it. Only the main process calls it.
            preview_every: seconds between two; there is one more at the end.

        Returns:
            what was learned, in evaluation mode.

        Raises:
            WorldsimError: if training diverges.
            KeyboardInterrupt: after a checkpoint, on SIGINT or SIGTERM.
        """
        before, saved, previewed = self.elapsed, self.elapsed, self.elapsed
        begun, note = time.monotonic(), ""
        with self._progress() as progress, stop_requested() as requested:
            while self.left > 0:
                values = train_step(self.draws())
                if self.average:
                    self.average.n_averaged.fill_(self.step + 1)  # the first weights are the first that it averages
                    self.average.update_parameters(self.model)
                self.step += 1
                self.elapsed, stop = distributed.agree(before + time.monotonic() - begun, requested.is_set())
                for scheduler in self._schedulers:
                    scheduler.step()
                if self.step % PLOT_EVERY == 0:
                    self._plot(means := self._checked(values))
                    note = f"loss {means['loss']:.4f}"
                progress(note)
                if self.elapsed - previewed > preview_every or self.left <= 0:
                    self._preview(preview)
                    previewed = self.elapsed
                if self.elapsed - saved > SAVE_EVERY or self.left <= 0 or stop:
                    self.save()
                    saved = self.elapsed
                if stop:
                    raise KeyboardInterrupt
        if self._curves:
            self._curves.close()
        distributed.means([0.0])  # what the main process wrote is there for all
        return self.learned()

    def update(self, *batch: Any) -> dict[str, Tensor]:
        """One step of the optimizers on this process's rows.

        Args:
            batch: arguments of the loss: tensors with the rows first, (named) tuples of them, None, or plain values.

        Returns:
            what the loss returned, detached: scalars averaged over the parts, others put together again.
        """
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        parts, outputs = self.options.accumulate, []
        for part in range(parts):
            with self._gradients_stay_here(part < parts - 1):
                with mixed_precision(self.options.device) if self._mixed else contextlib.nullcontext():
                    output = self._forward(*map_tuple(functools.partial(_part, part, parts), self.policy.put(batch)))
                (output["loss"] / parts).backward()
            outputs.append({key: value.detach() for key, value in output.items()})
        self._clip_gradients()
        for optimizer in self.optimizers:
            optimizer.step()
        whole = {key: [output[key] for output in outputs] for key in outputs[0]}
        return {key: torch.stack(v).mean(0) if v[0].ndim == 0 else torch.cat(v) for key, v in whole.items()}

    @contextlib.contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The moving average of the model, to run in the block; all processes have to enter."""
        assert self.average is not None
        with distributed.gathered(self.average.module):
            yield self.average.module.eval()

    def learned(self) -> nn.Module:
        """What is learned so far, in evaluation mode; all processes have to ask."""
        model = self.average.module if self.average else self.model
        if self._plain is None:
            return model.eval()
        self._plain.load_state_dict({key: distributed.whole(v) for key, v in model.state_dict().items()})
        return self._plain.eval()

    def save(self) -> None:
        """Write the checkpoint: whole tensors, so that any number of processes can go on from it."""
        tensors = dict(self._tensors())
        if distributed.is_main():
            state = {"format": FORMAT, "config": self.settings, "step": self.step, "elapsed": self.elapsed}
            checkpoint.write(self.path, tensors, state)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        owners = {"model": self.model.state_dict()}
        if self.average:
            owners["average"] = self.average.module.state_dict()
        tensors = {f"{owner}.{key}": tensor for owner, state in owners.items() for key, tensor in state.items()}
        for i, optimizer in enumerate(self.optimizers):
            tensors |= checkpoint.optimizer_tensors(f"optimizer{i}", optimizer)
        for key, tensor in tensors.items():
            whole = distributed.whole(tensor)
            if distributed.is_main():
                yield key, whole.cpu()

    def _resume(self) -> None:
        tensors, state = checkpoint.read(self.path)
        if state.get("format") != FORMAT:
            raise WorldsimError(
                f"{self.path} is of format {state.get('format', 1)}; this worldsim goes on from {FORMAT}. Give another "
                "--out, or go on with the version that wrote it."
            )
        theirs, ours = (_without_none(settings) for settings in (state["config"], self.settings))
        if theirs != ours:
            differing = sorted(k for k in {*theirs, *ours} if theirs.get(k) != ours.get(k))
            raise WorldsimError(
                f"{self.path} was trained with other settings ({', '.join(differing)}); give another --out"
            )

        def part(owner: str) -> dict[str, Tensor]:
            return {k.removeprefix(f"{owner}."): v for k, v in tensors.items() if k.startswith(f"{owner}.")}

        checkpoint.load_weights(self.path, self.model, part("model"))
        if self.average:
            checkpoint.load_weights(self.path, self.average.module, part("average"))
        for i, optimizer in enumerate(self.optimizers):
            checkpoint.restore_optimizer(f"optimizer{i}", optimizer, tensors)
        self.step, self.elapsed = int(state["step"]), float(state["elapsed"])

    def _check_batch(self) -> None:
        processes, parts = distributed.world_size(), self.options.accumulate
        if parts < 1 or self.batch % (processes * parts):
            raise WorldsimError(
                f"a batch of {self.batch} does not divide by {processes} processes x {parts} parts (--accumulate); "
                f"give --batch a multiple of {processes * max(parts, 1)}"
            )
        if self.options.fsdp and processes == 1:
            raise WorldsimError("--fsdp shards over processes; start several: torchrun --nproc-per-node 2 -m ...")

    def _over_processes(self) -> nn.Module:
        """The loss, compiled, with gradients that are averaged over the processes."""
        if self.options.compile and self.policy.compiles:
            self.loss.forward = torch.compile(self.loss.forward)
        if distributed.world_size() == 1:
            return self.loss
        device = self.options.device
        if not self.options.fsdp:
            ids = None if device.type == "cpu" else [device]
            return DistributedDataParallel(self.loss, device_ids=ids)
        mesh = init_device_mesh(device.type, (distributed.world_size(),))
        for module in (self.loss, *([self.average.module] if self.average else [])):
            fully_shard(module, mesh=mesh, ignored_params={p for p in module.parameters() if p.ndim == 0})
        return self.loss

    def _clip_gradients(self) -> None:
        """To a norm of 1, that of all parameters together."""
        learning = [p for p in self.model.parameters() if p.grad is not None]
        if not self._scalars:
            nn.utils.clip_grad_norm_(learning, 1.0)
            return
        for p in self._scalars:
            if p.grad is not None:
                p.grad = distributed.mean(p.grad)
        kinds = ([p.grad for p in learning if bool(p.ndim) == sharded] for sharded in (True, False))
        norms = [distributed.whole(nn.utils.get_total_norm(grads)) for grads in kinds]
        nn.utils.clip_grads_with_norm_(learning, 1.0, torch.stack(norms).norm(), foreach=False)

    def _gradients_stay_here(self, stay: bool) -> contextlib.AbstractContextManager[Any]:
        """A block whose gradients are not averaged over the processes yet, if they are to `stay`."""
        if isinstance(self._forward, FSDPModule):
            self._forward.set_requires_gradient_sync(not stay)
        elif stay and isinstance(self._forward, DistributedDataParallel):
            return self._forward.no_sync()
        return contextlib.nullcontext()

    def _ema_decay(self) -> float:
        """Of the moving average: shorter in the beginning."""
        return min(EMA_DECAY, (self.step + 1) / (self.step + 10))

    def _average_all(self, average: Any, weights: Any, averaged: Any) -> None:
        get_ema_multi_avg_fn(self._ema_decay())(average, weights, averaged)

    def _average_one(self, average: Tensor, weights: Tensor, averaged: Any) -> Tensor:
        return average.lerp(weights, 1 - self._ema_decay())

    def _lr(self) -> float:
        return learning_rate(self.step, self.left, bool(self.options.minutes))

    def _checked(self, values: dict[str, Tensor]) -> dict[str, float]:
        scalars = {k: float(v) for k, v in values.items() if v.ndim == 0}
        means = dict(zip(scalars, distributed.means(list(scalars.values())), strict=True))
        if any(v != v for v in means.values()):
            raise WorldsimError(f"training of {self.name} diverged at step {self.step}; lower --lr and resume")
        return means

    def _preview(self, preview: Callable[[int, nn.Module], dict[str, float]]) -> None:
        learned = self.learned()
        if distributed.is_main():
            self._plot(preview(self.step, learned))

    def _plot(self, values: dict[str, float]) -> None:
        for key, value in values.items():
            if self._curves:
                self._curves.add_scalar(f"{self.name}/{key}", value, self.step)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[Callable[[str], None]]:
        """A bar of steps, or of seconds; the function takes what is shown beside its title."""
        if not distributed.is_main():
            yield lambda note: None
            return
        timed = bool(self.options.minutes)

        def done() -> int:
            return round(self.elapsed) if timed else self.step

        with ProgressBar(self.name, round(60 * self.options.minutes) if timed else self.steps, done()) as bar:
            if self.left > 0 and self.options.compile and self.policy.compiles:
                bar.say("compiling: the first steps take some minutes")
            yield lambda note: bar.update(done(), note)


def _without_none(settings: Any) -> Any:
    """Settings without those that are None: a part that was not there when an older version wrote them."""
    if isinstance(settings, dict):
        return {key: _without_none(value) for key, value in settings.items() if value is not None}
    return [_without_none(value) for value in settings] if isinstance(settings, list) else settings


def _part(part: int, parts: int, value: Any) -> Any:
    """Part of `parts` of the rows of a tensor, or of those in a tuple; others as they are."""
    if isinstance(value, tuple):
        return map_tuple(functools.partial(_part, part, parts), value)
    return value.chunk(parts)[part] if isinstance(value, Tensor) and value.ndim else value
