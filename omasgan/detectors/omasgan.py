"""OMASGAN: a detector trained with samples on the boundary of the data.

Source: Dionelis, Yaghoobi, Tsaftaris, "OMASGAN: Out-of-Distribution Minimum Anomaly Score GAN for
Sample Generation on the Boundary" (2021), equations 1 to 6.

Where the released code differs we follow the paper: G, D, B, C, G' and J are six instances (the
code loads all into one frozen pair, so that nothing is trained in Task 3); the boundary term of
eqs. 5 and 6 is the critic's output on B(z) (the code passes B's image instead, a constant without
gradient); eq. 3 measures to G(z_j) (the code to the data); eq. 4 is averaged over the whole batch
(the code keeps sample 0); norms are not squared; mu and nu are used as given (one script ignores
them); G' receives gradients; a score never contains a batch-level constant. One thing is added:
Task 2 needs a critic that keeps training, which is a seventh instance that starts from D, so that
Task 1's score stays what Task 1 made it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.base import Epoch, IterativeDetector, State
from omasgan.errors import ConfigError, TrainingDiverged
from omasgan.nn import batches, boundary, deformation, negatives, networks, penalties
from omasgan.nn.divergences import DivergenceName, divergence
from omasgan.nn.tails import rank_among

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Pairs = Annotated[int, Field(ge=2)]
Steps = Annotated[int, Field(ge=0)]
Depth = Annotated[int, Field(ge=0, le=6)]

PHASES = ("gan", "boundary", "retrain", "detector")
PICTURES = 10
HEALTH_BATCH = 128
SNAPSHOT = "early"


class OMASGAN(IterativeDetector):
    """Four phases in one training: a GAN (``gan``), a generator B of samples on the boundary of
    the data (``boundary``), retraining with them (``retrain``), a discriminator J that tells B's
    samples from normal ones (``detector``).

    Scores, all from one training: ``task1`` and ``task3`` (-T of D and C), ``j`` (J's raw output,
    the paper's score), ``neighbours`` (cosine distance to the nearest of a sample of the training
    set in J's last hidden layer) and ``combined`` (the empirical tail probabilities of ``j`` and
    ``neighbours`` on held-out normals, added). ``decision_function`` is the one that ``score``
    names.

    The defaults were found on MNIST and digits with test anomalies in sight: they are a place to
    start a search from, and no result. Numbers that count come from params chosen under one of
    the honest selection rules.

    Args:
        divergence: the metric m of Tasks 1 and 2 and of the retraining.
        tau: temperature of KL-WGAN's weights; of no effect on other divergences.
        penalty: weight of R1 on the critics (for ``wasserstein``: of the gradient penalty).
        spectral_norm: bound the critics' layers; J is never bounded.
        latent_dim: dimensions of z ~ N(0, I).
        width, depth: size of G, D, B, C, G' (see ``omasgan.nn.networks``); depth 0 fits the data.
        detector_width, detector_depth: size of J.
        ema: decay of an exponential moving average over G's and G's successor's weights; 0: none.
        critic_steps: critic updates for each generator update in Tasks 1 and 3.
        batch_size: samples a step in Tasks 1 and 3.
        gan_steps, boundary_steps, retrain_steps, detector_steps: generator (or J) updates of each
            phase; 0 leaves the phase out.
        gan_lr, boundary_lr, retrain_lr, detector_lr: Adam's rates, betas (0.5, 0.999).
        epoch_steps: steps that make one epoch of the training iterator.
        mu, nu: weights of the distance (eq. 3) and of the dispersion (eq. 4) in eq. 2.
        normalised: measure eqs. 3 and 4 in units of the mean distances among G's samples and among
            latents; False is the paper's literal form, whose scale depends on the data.
        boundary_batch, boundary_reference: the paper's N and Q.
        form: ``pixel`` is the paper's free generator, which starts from G; ``deformation`` puts
            out a smooth displacement field that is applied to ``base``.
        base: what a deformation is applied to, a ``real`` normal sample or one of G's.
        radius: root mean square of the displacement, in units of half the image side.
        grid: control points per side of a displacement field.
        residual: root mean square of a smooth additive residual to the deformed sample; 0: none.
        resample: radius of the displacement that J's positives go through where the negatives are
            resampled too; without it J learns the blur.
        alpha, beta, gamma, delta: weights of real, G', B and G samples in eq. 5.
        zeta: share of real samples among J's positives in eq. 6; the rest are G's successor's.
        negatives: what J is trained against: ``boundary`` is the method, the others are controls.
        early: share of ``gan_steps`` after which the ``early-generator`` control is taken.
        detector_batch: samples of each kind a step of J.
        neighbours: how many training samples ``neighbours`` compares with.
        calibration: share of X that is held out from training for the tail probabilities.
        score: the score that ``decision_function`` gives.
        collapse_spread, collapse_alike: B counts as collapsed where ``spread`` is below the one or
            ``alike`` above the other.
        precision: ``auto`` trains in bfloat16 where the chip computes in it; scores are float32.
        seed: of everything random here; no global generator is used.
        device: ``auto``, ``cpu``, ``cuda`` ...
    """

    def __init__(
        self,
        *,
        divergence: DivergenceName = "kl-wgan",
        tau: Positive = 5.0,
        penalty: NonNegative = 0.0,
        spectral_norm: bool = True,
        latent_dim: Count = 64,
        width: Count = 32,
        depth: Depth = 0,
        detector_width: Count = 32,
        detector_depth: Depth = 0,
        ema: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        critic_steps: Count = 1,
        batch_size: Pairs = 64,
        gan_steps: Steps = 600,
        boundary_steps: Steps = 200,
        retrain_steps: Steps = 200,
        detector_steps: Steps = 600,
        gan_lr: Positive = 2e-4,
        boundary_lr: Positive = 2e-4,
        retrain_lr: Positive = 2e-4,
        detector_lr: Positive = 5e-4,
        epoch_steps: Count = 50,
        mu: NonNegative = 10.0,
        nu: NonNegative = 1.0,
        normalised: bool = True,
        boundary_batch: Pairs = 128,
        boundary_reference: Pairs = 256,
        form: Literal["pixel", "deformation"] = "deformation",
        base: Literal["real", "generator"] = "real",
        radius: Positive = 0.2,
        grid: Annotated[int, Field(ge=2, le=8)] = 3,
        residual: NonNegative = 0.0,
        resample: NonNegative = 0.02,
        alpha: Fraction = 0.3,
        beta: Positive = 1.0,
        gamma: NonNegative = 0.7,
        delta: Fraction = 0.4,
        zeta: Fraction = 0.5,
        negatives: Literal[
            "boundary", "noise", "patch-shuffle", "early-generator", "deformation"
        ] = "boundary",
        early: Fraction = 0.1,
        detector_batch: Pairs = 128,
        neighbours: Count = 8000,
        calibration: Share = 0.1,
        score: Literal["task1", "task3", "j", "neighbours", "combined"] = "combined",
        collapse_spread: NonNegative = 0.1,
        collapse_alike: Fraction = 0.7,
        precision: batches.Precision = "auto",
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.divergence = divergence
        self.tau = tau
        self.penalty = penalty
        self.spectral_norm = spectral_norm
        self.latent_dim = latent_dim
        self.width = width
        self.depth = depth
        self.detector_width = detector_width
        self.detector_depth = detector_depth
        self.ema = ema
        self.critic_steps = critic_steps
        self.batch_size = batch_size
        self.gan_steps = gan_steps
        self.boundary_steps = boundary_steps
        self.retrain_steps = retrain_steps
        self.detector_steps = detector_steps
        self.gan_lr = gan_lr
        self.boundary_lr = boundary_lr
        self.retrain_lr = retrain_lr
        self.detector_lr = detector_lr
        self.epoch_steps = epoch_steps
        self.mu = mu
        self.nu = nu
        self.normalised = normalised
        self.boundary_batch = boundary_batch
        self.boundary_reference = boundary_reference
        self.form = form
        self.base = base
        self.radius = radius
        self.grid = grid
        self.residual = residual
        self.resample = resample
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.delta = delta
        self.zeta = zeta
        self.negatives = negatives
        self.early = early
        self.detector_batch = detector_batch
        self.neighbours = neighbours
        self.calibration = calibration
        self.score = score
        self.collapse_spread = collapse_spread
        self.collapse_alike = collapse_alike
        self.precision = precision
        self.seed = seed
        self.device = device

    _position: int

    # Training

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        """Train the four phases; ``losses`` are means over the epoch's steps, and B's health:
        ``spread`` and ``alike`` (see ``omasgan.nn.boundary``), ``distance`` (to G's samples, eq. 3
        in units of their mean distance), ``collapsed`` (0 or 1) and, while J trains,
        ``j_negative`` (J's loss on its negatives: near zero they are too easy and teach nothing).

        Raises:
            TrainingDiverged: a loss is not finite.
            ConfigError: the samples do not fit the networks, or are too few.
        """
        schedule = self._schedule()
        if not self.__dict__.pop("_resume", False):
            self._begin(list(X.shape[1:]))
        train, held_out = self._split(len(X))
        normals = batches.Sampler(X, train, self._device)
        for index in range(self._position, len(schedule)):
            phase, steps = schedule[index]
            self._enter_up_to(phase)
            losses = self._train_epoch(phase, steps, normals) | self._health(normals, index)
            for name, value in losses.items():
                if not math.isfinite(value):
                    raise TrainingDiverged(
                        f"{name} is {value} in phase '{phase}', epoch {index}; "
                        "try a lower rate or a larger penalty"
                    )
            self._position = index + 1
            if self._position == len(schedule):
                self._enter_up_to(PHASES[-1])
                self._finish(X, train, held_out)
            yield Epoch(index, phase, losses)

    def _schedule(self) -> list[tuple[str, int]]:
        """The phase and the number of steps of every epoch."""
        lengths = (self.gan_steps, self.boundary_steps, self.retrain_steps, self.detector_steps)
        epochs = []
        for phase, steps in zip(PHASES, lengths, strict=True):
            for start in range(0, steps, self.epoch_steps):
                epochs.append((phase, min(self.epoch_steps, steps - start)))
        if not epochs:
            raise ConfigError("at least one phase needs steps, got 0 for all four; see *_steps")
        return epochs

    def _begin(self, shape: list[int]) -> None:
        """A fresh start: position, generator, and what the phases build on."""
        if len(shape) not in (1, 3):
            raise ConfigError(f"a sample must be (d,) or (c, h, w), got shape {tuple(shape)}")
        self._shape = shape
        self._device = batches.resolve_device(self.device)
        self._position = 0
        self._gan_steps_done = 0
        self._entered = 0
        self._generator = torch.Generator()
        self._networks: dict[str, nn.Module] = {}
        self._optimisers: dict[str, torch.optim.Adam] = {}
        self._scale = boundary.LITERAL
        self._fitted: dict[str, Tensor] = {}

    def _split(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to train on and rows held out for the tail probabilities."""
        held_out = max(2, round(self.calibration * n))
        if n - held_out < 2:
            raise ConfigError(f"X must have at least 4 samples, got {n}")
        rows = np.random.default_rng(self._seed_of("split")).permutation(n)
        return rows[held_out:], rows[:held_out]

    def _seed_of(self, *purpose: str | int) -> int:
        """A seed of its own for each purpose, all from ``self.seed``."""
        name = "/".join(map(str, purpose)).encode()
        sequence = np.random.SeedSequence([self.seed % 2**32, zlib.crc32(name)])
        return int(sequence.generate_state(1)[0])

    def _enter_up_to(self, phase: str) -> None:
        """Enter every phase up to ``phase`` that has not been entered, also those of 0 steps."""
        entries = (
            self._enter_gan,
            self._enter_boundary,
            self._enter_retrain,
            self._enter_detector,
        )
        while self._entered <= PHASES.index(phase):
            for network in self._networks.values():
                network.eval().requires_grad_(False)
            self._generator.manual_seed(self._seed_of("steps", PHASES[self._entered]))
            self._optimisers = {}
            entries[self._entered]()
            self._entered += 1

    def _enter_gan(self) -> None:
        self._add("G", self._new_generator())
        self._add("D", self._new_critic())
        self._add(SNAPSHOT, networks.copy_of(self._networks["G"]))
        self._begin_average("G")
        self._train_here("G")
        self._train_here("D")

    def _enter_boundary(self) -> None:
        self._take_average("G")
        starts_from_g = self.form == "pixel"
        self._add("B", networks.copy_of(self._networks["G"]) if starts_from_g else self._new("B"))
        self._add("critic", networks.copy_of(self._networks["D"]))
        self._train_here("B")
        self._train_here("critic")
        if self.normalised:
            z = self._latents(max(self.boundary_reference, 256))
            with torch.no_grad():
                self._scale = boundary.Scale.measure(self._networks["G"](z), z)

    def _enter_retrain(self) -> None:
        self._add("G'", networks.copy_of(self._networks["G"]))
        self._add("C", networks.copy_of(self._networks["D"]))
        self._begin_average("G'")
        self._train_here("G'")
        self._train_here("C")

    def _enter_detector(self) -> None:
        self._take_average("G'")
        self._add("J", self._new_detector())
        self._train_here("J")

    def _begin_average(self, name: str) -> None:
        if self.ema:
            self._add("average", networks.copy_of(self._networks[name]))

    def _add(self, name: str, network: nn.Module) -> None:
        """Take a network in, frozen."""
        placed = batches.place(network, self._device)
        self._networks[name] = placed.eval().requires_grad_(False)

    def _train_here(self, name: str) -> None:
        """Train the network called ``name`` in this phase."""
        rates = {"G": self.gan_lr, "D": self.gan_lr, "J": self.detector_lr}
        rates |= {"B": self.boundary_lr, "critic": self.boundary_lr}
        rates |= {"G'": self.retrain_lr, "C": self.retrain_lr}
        network = self._networks[name].train().requires_grad_(True)
        self._optimisers[name] = torch.optim.Adam(
            network.parameters(), lr=rates[name], betas=(0.5, 0.999)
        )

    def _take_average(self, name: str) -> None:
        """G (or G') goes on as the moving average of its weights."""
        if "average" in self._networks:
            self._networks[name] = self._networks.pop("average")

    def _new_generator(self) -> nn.Module:
        return networks.generator(
            self._shape,
            latent_dim=self.latent_dim,
            width=self.width,
            depth=self.depth,
            seed=self._seed_of("G"),
        )

    def _new_critic(self) -> nn.Module:
        return networks.critic(
            self._shape,
            width=self.width,
            depth=self.depth,
            normalised=self.spectral_norm,
            seed=self._seed_of("D"),
        )

    def _new_detector(self) -> nn.Module:
        return networks.critic(
            self._shape,
            width=self.detector_width,
            depth=self.detector_depth,
            normalised=False,
            seed=self._seed_of("J"),
        )

    def _new_deformer(self) -> nn.Module:
        return deformation.deformer(
            self._shape,
            latent_dim=self.latent_dim,
            grid=self.grid,
            radius=self.radius,
            residual=self.residual,
            seed=self._seed_of("B"),
        )

    def _train_epoch(self, phase: str, steps: int, normals: batches.Sampler) -> dict[str, float]:
        """The mean losses of ``steps`` steps of ``phase``."""
        step = {
            "gan": self._gan_step,
            "boundary": self._boundary_step,
            "retrain": self._retrain_step,
            "detector": self._detector_step,
        }[phase]
        sums: dict[str, Tensor] = {}
        for _ in range(steps):
            for name, loss in step(normals).items():
                sums[name] = sums.get(name, 0) + loss.detach()
        return {name: (total / steps).item() for name, total in sums.items()}

    def _gan_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Eq. 1: one update of G after ``critic_steps`` of D."""
        m = divergence(self.divergence, tau=self.tau)
        G, D = self._networks["G"], self._networks["D"]
        for _ in range(self.critic_steps):
            x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
            with self._autocast():
                fake = G(z).detach()
                loss_d = m.positive_loss(D(x)) + m.negative_loss(D(fake))
            self._update(["D"], loss_d + self._penalty(D, x, fake))
        with self._autocast(), networks.frozen(D):
            loss_g = m.generator_loss(D(G(self._latents(self.batch_size))))
        self._update(["G"], loss_g)
        self._gan_steps_done += 1
        if self._gan_steps_done == round(self.early * self.gan_steps):
            self._add(SNAPSHOT, networks.copy_of(G))
        self._move_average("G")
        return {"d": loss_d, "g": loss_g}

    def _boundary_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Eq. 2: one update of B after one of its critic, which starts from D and tells G's
        samples (Task 1's distribution) from B's.
        """
        m = divergence(self.divergence, tau=self.tau)
        critic = self._networks["critic"]
        z, reference = self._latents(self.boundary_batch), self._latents(self.boundary_reference)
        x = normals.draw(self.boundary_batch, self._generator)
        with self._autocast():
            with torch.no_grad():
                generated = self._networks["G"](reference)
            samples = self._boundary_samples(z, x)
            positives = self._resampled(generated[: self.boundary_batch], self.form)
            loss_critic = m.positive_loss(critic(positives))
            loss_critic = loss_critic + m.negative_loss(critic(samples.detach()))
        rows = min(len(positives), len(samples))
        penalty = self._penalty(critic, positives[:rows], samples[:rows])
        self._update(["critic"], loss_critic + penalty)
        with self._autocast(), networks.frozen(critic):
            metric = m.boundary_loss(critic(samples))
        distance = boundary.point_to_set(samples, generated, self._scale)
        dispersion = boundary.dispersion(samples, z, self._scale)
        self._update(["B"], metric + self.mu * distance + self.nu * dispersion)
        return {"critic": loss_critic, "metric": metric, "d": distance, "s": dispersion}

    def _retrain_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Eq. 5: one update of G' after ``critic_steps`` of C; G, B and G' share their latents."""
        m = divergence(self.divergence, tau=self.tau)
        G, C, retrained = (self._networks[name] for name in ("G", "C", "G'"))
        for _ in range(self.critic_steps):
            x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
            base = normals.draw(self.batch_size, self._generator)
            with self._autocast():
                with torch.no_grad():
                    x, old, new = (self._resampled(y, self.form) for y in (x, G(z), retrained(z)))
                    negative = self._boundary_samples(z, base)
                loss_c = (
                    self.alpha * m.positive_loss(C(x))
                    + self.delta * m.positive_loss(C(old))
                    + self.beta * m.negative_loss(C(new))
                    + self.gamma * m.negative_loss(C(negative))
                )
            self._update(["C"], loss_c + self._penalty(C, x, new))
        with self._autocast(), networks.frozen(C):
            new = self._resampled(retrained(self._latents(self.batch_size)), self.form)
            loss_g = self.beta * m.generator_loss(C(new))
        self._update(["G'"], loss_g)
        self._move_average("G'")
        return {"c": loss_c, "g": loss_g}

    def _detector_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Eq. 6: one update of J."""
        n, J = self.detector_batch, self._networks["J"]
        kind = self.form if self.negatives == "boundary" else self.negatives
        x, z = normals.draw(n, self._generator), self._latents(n)
        with torch.no_grad(), self._autocast():
            x, generated = (self._resampled(y, kind) for y in (x, self._networks["G'"](z)))
            negative = self._negatives(z, normals.draw(n, self._generator))
        with self._autocast():
            on_x, on_generated, on_negative = J(torch.cat([x, generated, negative])).chunk(3)
        loss_negative = F.softplus(-on_negative.float()).mean()
        loss_x = F.softplus(on_x.float()).mean()
        loss_generated = F.softplus(on_generated.float()).mean()
        loss = self.zeta * loss_x + (1 - self.zeta) * loss_generated + loss_negative
        self._update(["J"], loss)
        return {"j": loss, "j_real": loss_x, "j_negative": loss_negative}

    def _boundary_samples(self, z: Tensor, x: Tensor) -> Tensor:
        """B(z) ``(n, ...)``; a deformation is applied to ``x`` or to G(z)."""
        if self.form == "pixel":
            return self._networks["B"](z)  # type: ignore[no-any-return]
        if self.base == "generator":
            with torch.no_grad():
                x = self._networks["G"](z)
        return self._networks["B"](z, x)  # type: ignore[no-any-return]

    def _negatives(self, z: Tensor, x: Tensor) -> Tensor:
        """What J is trained against: B's samples, or a control's."""
        if self.negatives == "boundary":
            return self._boundary_samples(z, x)
        if self.negatives == "noise":
            return negatives.uniform_noise(x, self._generator)
        if self.negatives == "patch-shuffle":
            return negatives.patch_shuffle(x, self._generator)
        if self.negatives == "early-generator":
            return self._networks[SNAPSHOT](z)  # type: ignore[no-any-return]
        return self._deformed(x, self.radius)

    def _resampled(self, x: Tensor, kind: str) -> Tensor:
        """Where negatives of this ``kind`` are interpolated, ``x`` through the same, nearly
        unmoved; otherwise ``x``.
        """
        return self._deformed(x, self.resample) if kind == "deformation" and x.dim() == 4 else x

    def _deformed(self, x: Tensor, radius: float) -> Tensor:
        size = deformation.field_size(self._shape, self.grid)
        fields = deformation.random_fields(len(x), size, radius, self._generator)
        return deformation.deform(x, fields.to(x.device))

    def _latents(self, n: int) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=self._generator).to(self._device)

    def _autocast(self) -> AbstractContextManager[object]:
        """bfloat16 pays for convolutions; vectors stay in float32."""
        if len(self._shape) == 1:
            return nullcontext()
        return batches.autocast(self._device, self.precision)

    def _penalty(self, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        if not self.penalty:
            return torch.zeros((), device=self._device)
        if self.divergence == "wasserstein":
            mix = torch.rand(len(real), generator=self._generator).to(self._device)
            return self.penalty * penalties.gradient_penalty(critic, real, fake, mix)
        return self.penalty * penalties.r1(critic, real)

    def _update(self, names: list[str], loss: Tensor) -> None:
        for name in names:
            self._optimisers[name].zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for name in names:
            self._optimisers[name].step()

    def _move_average(self, name: str) -> None:
        if self.ema:
            networks.update_average(self._networks["average"], self._networks[name], self.ema)

    @torch.no_grad()
    def _health(self, normals: batches.Sampler, epoch: int) -> dict[str, float]:
        """B's label-free health, on latents of its own so that training is not disturbed."""
        if "B" not in self._networks:
            return {}
        generator = torch.Generator().manual_seed(self._seed_of("health", epoch))
        z = torch.randn(HEALTH_BATCH, self.latent_dim, generator=generator).to(self._device)
        x = normals.draw(HEALTH_BATCH, generator)
        generated = self._networks["G"](z)
        samples = self._in_eval_mode(lambda: self._boundary_samples(z, x))
        unit = boundary.Scale.measure(generated, z)
        spread = boundary.spread(samples, generated).item()
        alike = boundary.alikeness(samples, generated).item()
        return {
            "spread": spread,
            "alike": alike,
            "distance": boundary.point_to_set(samples, generated, unit).item(),
            "collapsed": float(spread < self.collapse_spread or alike > self.collapse_alike),
        }

    def _in_eval_mode(self, compute: Callable[[], Tensor]) -> Tensor:
        """B in training would move its running statistics with every look at it."""
        training = self._networks["B"].training
        self._networks["B"].eval()
        result = compute()
        self._networks["B"].train(training)
        return result

    def _finish(
        self, X: NDArray[Any], train: NDArray[np.int64], held_out: NDArray[np.int64]
    ) -> None:
        """Keep what scoring compares with: J's features of training samples, and the scores of
        held-out normals.
        """
        for network in self._networks.values():
            network.eval().requires_grad_(False)
        self._optimisers = {}
        reference = [
            F.normalize(self._j.features(x))
            for x in batches.in_order(X, self._device, train[: self.neighbours])
        ]
        self._fitted["reference"] = torch.cat(reference)
        pictured = next(batches.in_order(X, self._device, held_out[:PICTURES]))
        self._fitted["pictured"] = pictured
        parts = [self._j_and_neighbours(x) for x in batches.in_order(X, self._device, held_out)]
        self._fitted["held_out"] = torch.cat(parts, dim=1)

    # Scoring

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """The score that ``score`` names, ``(n,)``; see ``stage_scores``."""
        return self.stage_scores(X)[self.score]

    @torch.no_grad()
    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """All five scores of this training; ``combined`` lies in (0, 2).

        Raises:
            NotFittedError: the training has not come to its end.
        """
        self._check_fitted()
        m = divergence(self.divergence, tau=self.tau)
        task1, task3, last = [], [], []
        for x in batches.in_order(X, self._device):
            task1.append(m.score(self._networks["D"](x)))
            task3.append(m.score(self._networks["C"](x)))
            last.append(self._j_and_neighbours(x))
        j, neighbours = torch.cat(last, dim=1).cpu().numpy()
        held_out_j, held_out_neighbours = self._fitted["held_out"].cpu().numpy()
        combined = rank_among(held_out_j, j) + rank_among(held_out_neighbours, neighbours)
        return {
            "task1": torch.cat(task1).cpu().numpy(),
            "task3": torch.cat(task3).cpu().numpy(),
            "j": j,
            "neighbours": neighbours,
            "combined": combined,
        }

    @torch.no_grad()
    def pictures(self, n: int) -> dict[str, NDArray[np.float32]]:
        """Rows of real, G's, B's and G's successor's samples; none for vectors."""
        self._check_fitted()
        if len(self._shape) == 1:
            return {}
        generator = torch.Generator().manual_seed(self._seed_of("pictures"))
        real = self._fitted["pictured"][:n]
        z = torch.randn(len(real), self.latent_dim, generator=generator).to(self._device)
        rows = {
            "real": real,
            "G": self._networks["G"](z),
            "B": self._boundary_samples(z, real),
            "G'": self._networks["G'"](z),
        }
        return {name: x.float().cpu().numpy() for name, x in rows.items()}

    @torch.no_grad()
    def _j_and_neighbours(self, x: Tensor) -> Tensor:
        """J's raw output and the distance in its last hidden layer, ``(2, n)``."""
        features = self._j.features(x)
        unit = F.normalize(features)
        nearest = self._fitted["reference"][(unit @ self._fitted["reference"].T).argmax(1)]
        # 1 - cos of unit vectors, without the cancellation.
        distance = (unit - nearest).square().sum(1) / 2
        return torch.stack([self._j.head(features).squeeze(1), distance])

    @property
    def _j(self) -> networks.Critic:
        return cast(networks.Critic, self._networks["J"])

    def _check_fitted(self) -> None:
        if "held_out" not in getattr(self, "_fitted", {}):
            raise NotFittedError("OMASGAN is not trained to its end yet; call fit first")

    # State

    def state_dict(self) -> State:
        """Networks, this phase's optimisers, generator, position and what scoring compares with.

        Raises:
            NotFittedError: training has not begun.
        """
        if not hasattr(self, "_networks"):
            raise NotFittedError("OMASGAN has no state before its first epoch; call fit first")
        return {
            "shape": self._shape,
            "position": self._position,
            "gan_steps_done": self._gan_steps_done,
            "entered": self._entered,
            "scale": [self._scale.sample, self._scale.latent],
            "generator": self._generator.get_state(),
            "networks": {name: net.state_dict() for name, net in self._networks.items()},
            "optimisers": {name: opt.state_dict() for name, opt in self._optimisers.items()},
            "fitted": dict(self._fitted),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from ``state``, which a detector with the same params gave.

        Raises:
            ConfigError: the state belongs to other params.
        """
        self._begin(state["shape"])
        try:
            for name, weights in state["networks"].items():
                self._add(name, self._new(name))
                self._networks[name].load_state_dict(weights)
            for name, moments in state["optimisers"].items():
                self._train_here(name)
                self._optimisers[name].load_state_dict(moments)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(f"the state belongs to other params: {str(error)[:200]}") from error
        self._position = state["position"]
        self._gan_steps_done = state["gan_steps_done"]
        self._entered = state["entered"]
        self._scale = boundary.Scale(*state["scale"])
        self._generator.set_state(state["generator"])
        self._fitted = {name: x.to(self._device) for name, x in state["fitted"].items()}
        self._resume = True

    def _new(self, name: str) -> nn.Module:
        """The network called ``name``, as it was before any training."""
        if name == "B" and self.form == "deformation":
            return self._new_deformer()
        if name == "J":
            return self._new_detector()
        return self._new_critic() if name in ("D", "critic", "C") else self._new_generator()
