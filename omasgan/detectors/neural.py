"""The base of the detectors whose networks are trained by gradient steps.

A subclass states its phases, its networks by name, what one step of a phase does and what one
batch scores; this file does the rest: the iterator of epochs, seeds, autocast, resuming, state.
"""

from __future__ import annotations

import math
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omasgan.detectors import bar
from omasgan.detectors.base import (
    Beginning,
    Epoch,
    IterativeDetector,
    State,
    check_takes_anomalies,
)
from omasgan.detectors.estimator import not_fitted
from omasgan.detectors.params import parameters
from omasgan.detectors.ranges import Count, Depth, Pairs
from omasgan.errors import ConfigError, TrainingDiverged
from omasgan.nn import batches, graphs, memory, networks, threads
from omasgan.nn.adam import Adam
from omasgan.nn.kinds import Precision


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralDetector(IterativeDetector):
    """Networks trained phase after phase.

    Within a phase only the networks that ``_enter`` passed to ``_train_here`` are trained; all
    others are frozen and in eval mode, and so are all of them when scoring.
    """

    latent_dim: Count = 32
    """Dimensions of the latent, the z of the papers."""
    width: Count = 32
    """Channels of the networks at the full resolution, or units of a layer for vectors; see
    ``omasgan.nn.networks``."""
    depth: Depth = 0
    """Halvings of an image's side, or hidden layers for vectors; 0 fits the data."""
    batch_size: Pairs = 64
    """Samples of each kind in a step, drawn with replacement."""
    epoch_steps: Count = 50
    """Steps that make one epoch of the training iterator."""
    precision: Precision = "auto"
    """``auto`` trains in bfloat16 where the chip computes in it; scores are float32."""
    graphs: bool = True
    """Replay training steps as CUDA graphs on a GPU; without, a step is launched piece by piece,
    and may wait for the values of tensors."""

    # What a subclass states

    @abstractmethod
    def _phases(self) -> Mapping[str, int]:
        """Return the steps of each phase, in order; a phase of 0 steps is entered and left."""

    @abstractmethod
    def _enter(self, phase: str) -> None:
        """Begin a phase: ``_add`` the networks that it needs, ``_train_here`` those it trains."""

    @abstractmethod
    def _new(self, name: str) -> nn.Module:
        """Return the network called ``name`` as it is before any training; it draws its weights
        from ``_seed_of(name)``.
        """

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        """Return what trains the network called ``name``, by default Adam at the rate ``lr``, a
        param.
        """
        return adam(network, self.get_params(deep=False)["lr"])

    def _prepare(self, phase: str, normals: batches.Sampler) -> None:
        """Get ready for the steps of an epoch of ``phase``; by default there is nothing to do."""

    @abstractmethod
    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        """Take one step of a phase, updates included; return the losses by name, as scalars.

        It works on tensors alone and does not wait for their values: a GPU records it once and
        replays it (``nn.graphs``). What else a step does stands in ``_stepped``.
        """

    def _stepped(self, phase: str) -> None:
        """Do what follows each step outside of the recording, such as counting; by default
        nothing.
        """

    @abstractmethod
    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        """Return every score of a batch ``x``, each ``(n,)``; a sample's does not depend on the
        others.

        Called without gradients and in eval mode.
        """

    def _parts_of_score(self, x: Tensor) -> dict[str, Tensor]:
        """Return of ``_scores`` those that the score called ``stage`` is or is derived from; by
        default all.
        """
        return self._scores(x)

    def _derived(self, scores: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return ``scores`` ``(n,)`` by name with those that are computed from them, sample by
        sample; by default no others.
        """
        return scores

    def _health(self, normals: batches.Sampler, epoch: int) -> dict[str, float]:
        """Return label-free figures of an epoch besides its losses; by default none."""
        return {}

    def _train_rows(self, n: int) -> NDArray[np.int64]:
        """Return the rows, of ``n``, to train on; by default all."""
        return np.arange(n)

    def _finish(self, X: NDArray[Any]) -> None:
        """Store in ``_fitted`` what scoring needs besides the networks; by default nothing."""

    # Training

    def _train(self, *arrays: NDArray[Any]) -> None:
        """Exhaust ``fit_epochs``, small networks on one thread, see ``omasgan.nn.threads``.

        Set the environment variable ``OMP_NUM_THREADS`` for another number, or consume
        ``fit_epochs``, which leaves threads alone.
        """
        most = torch.get_num_threads()
        with threads.restored():
            threads.suit([], most)
            for _ in bar.shown(self, self.fit_epochs(*arrays), len(self._schedule())):
                threads.suit(self._networks.values(), most)

    def fit_epochs(
        self, X: NDArray[Any], anomalies: NDArray[Any] | None = None
    ) -> Iterator[Epoch]:
        """Train all phases; ``losses`` are means over the epoch's steps, and health figures.

        Raises:
            TrainingDiverged: a loss is not finite.
            ConfigError: the samples do not fit the networks, or are too few, or some are labelled
                anomalies that the detector does not take.
        """
        schedule = self._schedule()
        if not self.__dict__.pop("_resume", False):
            self._begin(list(X.shape[1:]))
        normals = self._normals(X)
        self._anomalies = self._known(X, anomalies)
        for index in range(self._position, len(schedule)):
            phase, steps = schedule[index]
            with batches.full_precision(self._device):
                self._enter_up_to(phase)
                losses = self._train_epoch(phase, steps, normals) | self._health(normals, index)
                check_finite(losses, f"phase '{phase}', epoch {index}")
                self._position += 1
                if self._position == len(schedule):
                    self._end(X)
            yield Epoch(index, phase, losses)

    def beginnings(self) -> Sequence[Beginning]:
        """Return one beginning for each phase that has steps but the last such phase, at whose end
        the training is over; none for a detector whose params state no phases.

        The state after a phase depends on the params that state it or an earlier one, and on
        those that state none.
        """
        params = parameters(type(self)).values()
        if all(param.phase is None for param in params):
            return []
        phases = list(self._phases())
        first = {p.name: phases.index(p.phase) if p.phase in phases else 0 for p in params}
        trained = [phase for phase, _ in self._schedule()]
        beginnings = []
        for at, phase in enumerate(phases):
            end = len(trained) - trained[::-1].index(phase) if phase in trained else len(trained)
            if end < len(trained):
                values = {name: getattr(self, name) for name in first if first[name] <= at}
                beginnings.append(Beginning(phase, end, values))
        return beginnings

    def _schedule(self) -> list[tuple[str, int]]:
        """Return the phase and the number of steps of every epoch."""
        epochs = [
            (phase, min(self.epoch_steps, steps - start))
            for phase, steps in self._phases().items()
            for start in range(0, steps, self.epoch_steps)
        ]
        if not epochs:
            raise ConfigError("at least one phase needs steps, got 0 for all; see *_steps")
        return epochs

    def _begin(self, shape: list[int]) -> None:
        """Start anew: no position, no networks, a fresh generator."""
        if len(shape) not in (1, 3):
            raise ConfigError(f"a sample must be (d,) or (c, h, w), got shape {tuple(shape)}")
        self._shape = shape
        self._device = batches.usable_device(self.device)
        memory.keep_what_is_freed()
        self._position = 0
        self._entered = 0
        self._generator = torch.Generator(self._device)
        self._recorded: graphs.Recorded | None = None
        self._networks: dict[str, nn.Module] = {}
        self._optimisers: dict[str, torch.optim.Optimizer] = {}
        self._fitted: dict[str, Tensor] = {}
        self._anomalies = None

    def _normals(self, X: NDArray[Any]) -> batches.Sampler:
        """Return what the steps draw their samples from."""
        return batches.Sampler(X, self._train_rows(len(X)), self._device)

    def _known(self, X: NDArray[Any], anomalies: NDArray[Any] | None) -> batches.Sampler | None:
        """Return what the steps draw labelled anomalies from; None without any."""
        if anomalies is None or not len(anomalies):
            return None
        check_takes_anomalies(type(self))
        if anomalies.shape[1:] != X.shape[1:]:
            raise ConfigError(
                f"anomalies must have the shape of the normal samples, {X.shape[1:]}, "
                f"got {anomalies.shape[1:]}"
            )
        return batches.Sampler(anomalies, np.arange(len(anomalies)), self._device)

    def _end(self, X: NDArray[Any]) -> None:
        """Enter the phases that are left after the last step, and get ready to score."""
        self._enter_up_to(list(self._phases())[-1])
        self._freeze()
        self._finish(X)
        self._position = len(self._schedule())

    def _seed_of(self, *purpose: str | int) -> int:
        """Return a seed of its own for each purpose, all from ``self.seed``."""
        name = "/".join(map(str, purpose)).encode()
        sequence = np.random.SeedSequence([self.seed % 2**32, zlib.crc32(name)])
        return int(sequence.generate_state(1)[0])

    def _enter_up_to(self, phase: str) -> None:
        """Enter every phase up to ``phase`` that has not been entered, also those of 0 steps."""
        phases = list(self._phases())
        while self._entered <= phases.index(phase):
            self._freeze()
            self._generator.manual_seed(self._seed_of("steps", phases[self._entered]))
            self._enter(phases[self._entered])
            self._entered += 1

    def _freeze(self) -> None:
        for network in self._networks.values():
            network.eval().requires_grad_(False)
        self._optimisers = {}
        self._recorded = None

    def _add(self, name: str, network: nn.Module | None = None) -> None:
        """Add a network, by default a new one, frozen."""
        added = self._new(name) if network is None else network
        self._networks[name] = batches.on_device(added, self._device).eval().requires_grad_(False)

    def _train_here(self, *names: str) -> None:
        """Train these networks in this phase."""
        for name in names:
            network = self._networks[name].train().requires_grad_(True)
            self._optimisers[name] = self._optimiser(name, network)

    def _train_epoch(self, phase: str, steps: int, normals: batches.Sampler) -> dict[str, float]:
        """Take ``steps`` steps of ``phase``; return the mean losses."""
        self._prepare(phase, normals)
        step = self._step_of(phase, normals)
        sums: dict[str, Tensor] = {}
        for _ in range(steps):
            for name, loss in step().items():
                sums[name] = sums.get(name, 0) + loss.detach()
            self._stepped(phase)
        return {name: (total / steps).item() for name, total in sums.items()}

    def _step_of(self, phase: str, normals: batches.Sampler) -> Callable[[], dict[str, Tensor]]:
        """Return what takes a step of ``phase``; a GPU records it once for all its epochs."""
        step = partial(self._step, phase, normals)
        if self._device.type != "cuda" or not self.graphs:
            return step
        if self._recorded is None:
            self._recorded = graphs.Recorded(step, self._generator)
        return self._recorded

    def _update(self, loss: Tensor, *names: str) -> None:
        """Take one step of these networks' optimisers down the gradient of ``loss``."""
        for name in names:
            self._optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        for name in names:
            self._optimisers[name].step()

    def _generator_of(self, name: str) -> nn.Module:
        """Return a new generator (or decoder) of ``latent_dim``, ``width`` and ``depth``."""
        return networks.generator(
            self._shape,
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of(name),
        )

    def _encoder_of(self, name: str, outputs: int, *, affine: bool = True) -> nn.Module:
        """Return a new encoder of ``width`` and ``depth``."""
        return networks.encoder(
            self._shape,
            outputs=outputs,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of(name),
            affine=affine,
        )

    def _critic_of(self, name: str, *, normalised: bool = False) -> networks.Critic:
        """Return a new critic of ``width`` and ``depth``."""
        return networks.critic(
            self._shape,
            width=self.width,
            depth=self.depth,
            normalised=normalised,
            seed=self._seed_of(name),
        )

    def _latents(self, n: int) -> Tensor:
        """Draw ``n`` latents from N(0, I), ``(n, latent_dim)``."""
        return torch.randn(
            n, self.latent_dim, generator=self._generator, device=self._generator.device
        )

    def _autocast(self) -> AbstractContextManager[object]:
        """Return the context of training passes: bfloat16 pays for convolutions, not vectors."""
        if len(self._shape) == 1:
            return nullcontext()
        return batches.autocast(self._device, self.precision)

    # Scoring

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return every score of this training, ``(n,)`` each.

        Raises:
            NotFittedError: the training has not come to its end.
        """
        return self._in_batches(self._scores, X)

    def _own_stage(self, X: NDArray[Any]) -> NDArray[np.float32]:
        return self._needed_scores(X)[self.stage]

    def _needed_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return the score called ``stage`` and what it consists of, without computing what only
        others need, on as many threads as ``fit`` takes.
        """
        self._check_fitted()
        with threads.restored():
            threads.suit(self._networks.values(), torch.get_num_threads())
            return self._in_batches(self._parts_of_score, X)

    @torch.no_grad()
    def _in_batches(
        self, scores_of: Callable[[Tensor], dict[str, Tensor]], X: NDArray[Any]
    ) -> dict[str, NDArray[np.float32]]:
        """Return what ``scores_of`` computes of each batch of ``X``, and what follows from it."""
        self._check_fitted()
        with batches.full_precision(self._device):
            parts = [scores_of(x) for x in batches.in_order(X, self._device)]
        return self._derived(
            {
                name: torch.cat([part[name] for part in parts]).float().cpu().numpy()
                for name in parts[0]
            }
        )

    def __sklearn_is_fitted__(self) -> bool:
        # Networks on a loaded state of an unfinished training are not fitted either.
        return getattr(self, "_position", -1) == len(self._schedule())

    # State

    def state_dict(self) -> State:
        """Return networks, the optimisers of this phase, generator, position and what scoring
        needs.

        Raises:
            NotFittedError: training has not begun.
        """
        if not hasattr(self, "_networks"):
            name = type(self).__name__
            raise not_fitted(f"{name} has no state before its first epoch; call fit first")
        return {
            "shape": self._shape,
            "position": self._position,
            "entered": self._entered,
            "generator": self._generator.get_state(),
            "generator_device": self._device.type,
            "networks": {name: net.state_dict() for name, net in self._networks.items()},
            "optimisers": {name: opt.state_dict() for name, opt in self._optimisers.items()},
            "fitted": dict(self._fitted),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state``, which a detector with the same params returned.

        Raises:
            ConfigError: the state belongs to other params, or is no state at all.
        """
        try:
            self._begin(state["shape"])
            for name, weights in state["networks"].items():
                self._add(name)
                self._networks[name].load_state_dict(weights)
            for name, moments in state["optimisers"].items():
                self._train_here(name)
                load_moments(self._optimisers[name], moments)
            self._position = state["position"]
            self._entered = state["entered"]
            self._load_generator(state)
            self._fitted = {name: x.to(self._device) for name, x in state["fitted"].items()}
        except ConfigError:
            raise
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = str(error)[:200]
            raise ConfigError(f"the state belongs to other params: {reason}") from error
        self._resume = True

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle writes: networks by their states, since torch cannot pickle all."""
        if "_networks" not in vars(self):
            return dict(vars(self))
        kept = {name: vars(self)[name] for name in vars(self) if name in PICKLED}
        return self.get_params() | kept | {"_state": on_cpu(self.state_dict())}

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        vars(self).update(pickled)
        if state := vars(self).pop("_state", None):
            self.load_state_dict(state)

    def _load_generator(self, state: State) -> None:
        """Go on drawing where ``state`` stopped; a training that is over draws no more."""
        made_on = state.get("generator_device", "cpu")
        if made_on == self._device.type:
            self._generator.set_state(state["generator"])
        elif state["position"] != len(self._schedule()):
            raise ConfigError(
                f"the state of an unfinished training on {made_on} cannot go on on "
                f"{self._device.type}: their random numbers differ; set device={made_on!r}"
            )


PICKLED = frozenset(
    {"_input", "_own", "calibration_", "feature_names_in_", "n_features_in_", "_resume"}
)
"""Attributes besides params and state that a pickle keeps: what ``fit`` noted of its samples."""


def on_cpu(state: Any) -> Any:
    """Return a state with all its tensors on the CPU."""
    if isinstance(state, Mapping):
        return {name: on_cpu(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(on_cpu(value) for value in state)
    return state.cpu() if isinstance(state, Tensor) else state


def check_finite(losses: Mapping[str, float], where: str) -> None:
    """Raise TrainingDiverged, saying ``where``, if a loss is not finite."""
    for name, value in losses.items():
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"{name} is {value} in {where}; try a lower rate or a larger penalty"
            )


def adam(
    network: nn.Module,
    lr: float,
    *,
    betas: tuple[float, float] = (0.5, 0.999),
    weight_decay: float = 0.0,
) -> torch.optim.Adam:
    """Return Adam, by default with the betas that GANs are trained with (Radford et al. 2016)."""
    weights = list(network.parameters())
    return Adam(
        weights,
        lr=lr,
        betas=betas,
        weight_decay=weight_decay,
        fused=True,
        # A CUDA graph needs its count of steps on the GPU.
        capturable=weights[0].is_cuda,
    )


def load_moments(optimiser: torch.optim.Optimizer, state: State) -> None:
    """Continue with the moments of ``state``; rates and the like stay the optimiser's own.

    Each moment gets the memory layout of its weight, as fused Adam presumes: a saved state has
    lost it.
    """
    own = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state["state"], "param_groups": own})
    for weight, moments in optimiser.state.items():
        for name, moment in moments.items():
            if moment.shape == weight.shape:
                moments[name] = torch.empty_like(weight).copy_(moment)
