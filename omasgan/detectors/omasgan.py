"""OMASGAN: a detector trained with samples on the boundary of the data.

Source: Dionelis, Yaghoobi, Tsaftaris, "OMASGAN: Out-of-Distribution Minimum Anomaly Score GAN for
Sample Generation on the Boundary" (2021). Its equations and where each is computed:

    eq. 1   Task 1, G against D                         ``OMASGAN._gan_step``
    eq. 2   Task 2, -m(B, G) + mu d(B, G) + nu s(B, z)  ``OMASGAN._boundary_step``
    eq. 3   d, the distance of B's samples to G's       ``nn.boundary.point_to_set``
    eq. 4   s, how little B spreads its samples out     ``nn.boundary.dispersion``
    eq. 5   Task 3, G' against C, with B's samples      ``OMASGAN._retrain_step``
    eq. 6   J, which tells B's samples from normals     ``OMASGAN._detector_step``
    m, T    the metric and its variational function     ``nn.divergences``

Where the released code differs we follow the paper: G, D, B, C, G' and J are six instances (the
code loads all into one frozen pair, so that nothing is trained in Task 3); the boundary term of
eqs. 5 and 6 is the critic's output on B(z) (the code passes B's image instead, a constant without
gradient); eq. 3 measures to G(z_j) (the code to the data); eq. 4 is averaged over the whole batch
(the code uses sample 0 alone); norms are not squared; mu and nu are used (one script ignores
them); G' receives gradients; a score never contains a batch-level constant.

Ours, each with its switch:

- Task 2 needs a critic that keeps training: a seventh instance that starts from D, so that Task
  1's score stays what Task 1 made it;
- the forms of B but ``pixel``. ``deformation`` bends samples. ``latent``, ``between`` and
  ``mixture`` decode codes of an autoencoder (``nn.latent``), for which the phase ``autoencoder``
  is there. They have no network that learns eq. 2: each code goes ``moves`` steps down eq. 2
  itself, with normal samples that were decoded in G's place, at the size that it began with;
- ``guide = "j"``: these steps go towards what J cannot tell, instead of away from the data;
- what ``resample`` and ``reconstructed`` do to positives;
- the scores besides ``task1``, ``task3`` and ``j``;
- labelled anomalies beside B's samples, which is another league: nothing in the paper is compared
  with that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.detectors.base import State
from omasgan.detectors.neural import NeuralDetector, adam
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import (
    Count,
    Decay,
    Depth,
    Fraction,
    NonNegative,
    Pairs,
    Positive,
    Share,
    Steps,
)
from omasgan.errors import ConfigError
from omasgan.nn import (
    autoencoders,
    batches,
    boundary,
    deformation,
    latent,
    mixtures,
    negatives,
    neighbourhoods,
    networks,
    penalties,
    tails,
)
from omasgan.nn.divergences import Divergence, abnormality, divergence
from omasgan.nn.kinds import DivergenceName

PICTURES = 10
HEALTH_BATCH = 128
SNAPSHOT = "early"

DECODED = ("latent", "between", "mixture")
"""The forms of B that need an autoencoder."""

CRITICS = {"task1": "D", "task3": "C"}
"""The scores that are a critic's, and the critic."""

PARTS = ("j", "neighbours", "local", "density", "input_density")
"""The scores among which held-out normals are known."""

SUMS = {"combined": ("j", "neighbours"), "unlike": ("j", "local", "input_density")}
"""The scores that add tail probabilities, and what they add."""

DENSITY = mixtures.Form(components=32, mixture=20, floor=0.1, whiten=True)
"""Of the directions of J's features."""

INPUT_DENSITY = mixtures.Form(components=32, mixture=30, floor=0.1, whiten=False)
"""Of the samples as they are."""

Term: TypeAlias = tuple[float, Callable[[Tensor], Tensor], Tensor]
"""A term of a critic's loss: its weight, the loss by raw outputs, and the samples."""


@dataclass(kw_only=True, eq=False, repr=False)
class OMASGAN(NeuralDetector):
    """Four phases in one training: a GAN (``gan``), a generator B of samples on the boundary of
    the data (``boundary``), retraining with them (``retrain``), a discriminator J that tells B's
    samples from normal ones (``detector``). Some forms of B need an autoencoder (``autoencoder``).

    Scores, all from one training:

    - ``task1`` and ``task3``: the raw output of D and of C, negated;
    - ``j``: J's raw output, the paper's score;
    - ``neighbours``: cosine distance, in J's last hidden layer, to the nearest of a sample of the
      training set;
    - ``local``: distance to the nearest five there, in part in units of their own
      (``nn.neighbourhoods``);
    - ``density``: minus the logarithm of a density of the directions there (``nn.mixtures``);
    - ``input_density``: the same of the samples as they are, which no network is needed for;
    - ``combined`` and ``unlike``: what ``SUMS`` names, by Fisher's method: minus the logarithms of
      tail probabilities among held-out normals, added.

    ``decision_function`` returns the one that ``stage`` names.

    The defaults were chosen on MNIST and digits with test anomalies in sight: they are a place to
    start a search from, and no result. ``stage`` alone was chosen on classes held out of the
    training splits of MNIST and Fashion-MNIST (docs/comparing.md), and so was what it adds.
    Numbers that count come from params chosen under one of the honest selection rules.

    Beside each param stands the first phase that depends on it; those without one belong to
    ``gan``, as those of ``NeuralDetector`` do. ``width`` and ``depth`` are the size of G, D, B, C
    and G', ``batch_size`` is that of Tasks 1 and 3, and z ~ N(0, I).
    """

    properties = frozenset({
        "GAN", "negative sampling", "negative training", "boundary loss", "f-divergence",
        "discriminator score",
    })  # fmt: skip
    takes_anomalies = True
    defaults_saw = "test anomalies of MNIST and of digits"

    latent_dim: Count = 64
    divergence: Annotated[DivergenceName, Phase("gan")] = "kl-wgan"
    """The paper's m, in eqs. 1, 2 and 5."""
    tau: Annotated[Positive, Phase("gan")] = 5.0
    """Temperature of KL-WGAN's weights; of no effect on other divergences."""
    penalty: Annotated[NonNegative, Phase("gan")] = 0.0
    """Weight of R1 on the critics (for ``wasserstein``: of the gradient penalty)."""
    spectral_norm: Annotated[bool, Phase("gan")] = True
    """Bound the critics' layers; J is never bounded."""
    ema: Annotated[Decay, Phase("gan")] = 0.0
    """Decay of an exponential moving average over the weights of G and of G'; 0: none."""
    critic_steps: Annotated[Count, Phase("gan")] = 1
    """Critic updates for each generator update in Tasks 1 and 3."""
    gan_steps: Annotated[Steps, Phase("gan")] = 600
    """Updates of G (eq. 1); 0 leaves the phase out, as for the other phases."""
    gan_lr: Annotated[Positive, Phase("gan")] = 2e-4
    """Adam's rate, betas (0.5, 0.999), as in the other phases."""
    early: Annotated[Fraction, Phase("gan")] = 0.1
    """Share of ``gan_steps`` after which G is copied for the ``early-generator`` control."""
    calibration: Annotated[Share, Phase("gan")] = 0.1
    """Share of X that is held out from training for the tail probabilities."""

    form: Annotated[
        Literal["pixel", "deformation", "latent", "between", "mixture"], Phase("autoencoder")
    ] = "deformation"
    """``pixel`` is the paper's free generator, which starts from G; ``deformation`` puts out a
    smooth displacement field that is applied to ``base``; ``latent`` decodes codes near those of
    ``base``, ``between`` codes between two of them; ``mixture`` is ``deformation`` for one half
    of the samples and ``latent`` for the other."""
    autoencoder_steps: Annotated[Steps, Phase("autoencoder")] = 600
    """Updates of the autoencoder, for the forms that need it."""
    autoencoder_lr: Annotated[Positive, Phase("autoencoder")] = 1e-3
    code_dim: Annotated[Count, Phase("autoencoder")] = 20
    """Dimensions of its codes, at most ``latent_dim``."""

    boundary_steps: Annotated[Steps, Phase("boundary")] = 200
    """Updates of B (eq. 2)."""
    boundary_lr: Annotated[Positive, Phase("boundary")] = 2e-4
    mu: Annotated[NonNegative, Phase("boundary")] = 10.0
    """Weight of the distance d (eq. 3) in eq. 2."""
    nu: Annotated[NonNegative, Phase("boundary")] = 1.0
    """Weight of the dispersion s (eq. 4) in eq. 2."""
    normalised: Annotated[bool, Phase("boundary")] = True
    """Measure eqs. 3 and 4 in units of the mean distances among G's samples and among latents;
    False is the paper's literal form, whose scale depends on the data."""
    boundary_batch: Annotated[Pairs, Phase("boundary")] = 128
    """The paper's N: samples of B in a step."""
    boundary_reference: Annotated[Pairs, Phase("boundary")] = 256
    """The paper's Q: samples of G among which eq. 3 finds the nearest."""
    base: Annotated[Literal["real", "generator"], Phase("boundary")] = "real"
    """What B's samples are made from, ``real`` normal samples or those of G."""
    radius: Annotated[Positive, Phase("boundary")] = 0.2
    """Root mean square of the displacement, in units of half the image side."""
    grid: Annotated[int, Field(ge=2, le=8), Phase("boundary")] = 3
    """Control points per side of a displacement field."""
    residual: Annotated[NonNegative, Phase("boundary")] = 0.0
    """Root mean square of a smooth additive change of the deformed sample; 0: none."""
    resample: Annotated[NonNegative, Phase("boundary")] = 0.02
    """Radius of the displacement that positives go through where the negatives are resampled
    too; without it J learns the blur."""
    moves: Annotated[Steps, Phase("boundary")] = 2
    """Steps that a code goes down eq. 2; 0 leaves it where it began, at random."""
    move_rate: Annotated[Positive, Phase("boundary")] = 0.3
    """Length of such a step, in units of the code's distance from that of its sample."""
    guide: Annotated[Literal["critic", "j"], Phase("boundary")] = "critic"
    """Whose anomaly score steers these steps: that of Task 2's ``critic`` (eq. 2), away from the
    data, or while J learns that of ``j``, towards what it cannot tell from them yet."""
    reconstructed: Annotated[Fraction, Phase("boundary")] = 0.5
    """Share of positives that go through the autoencoder where the negatives are decoded; without
    it J learns the decoder's blur."""
    collapse_spread: Annotated[NonNegative, Phase("boundary")] = 0.1
    """B counts as collapsed where ``spread`` is below this ..."""
    collapse_alike: Annotated[Fraction, Phase("boundary")] = 0.7
    """... or ``alike`` is above this; see ``nn.boundary``."""

    retrain_steps: Annotated[Steps, Phase("retrain")] = 200
    """Updates of G' (eq. 5)."""
    retrain_lr: Annotated[Positive, Phase("retrain")] = 2e-4
    alpha: Annotated[Fraction, Phase("retrain")] = 0.3
    """Weight of real samples in eq. 5."""
    beta: Annotated[Positive, Phase("retrain")] = 1.0
    """Weight of the samples of G' in eq. 5."""
    gamma: Annotated[NonNegative, Phase("retrain")] = 0.7
    """Weight of B's samples in eq. 5."""
    delta: Annotated[Fraction, Phase("retrain")] = 0.4
    """Weight of G's samples in eq. 5."""

    detector_steps: Annotated[Steps, Phase("detector")] = 600
    """Updates of J (eq. 6)."""
    detector_lr: Annotated[Positive, Phase("detector")] = 5e-4
    detector_width: Annotated[Count, Phase("detector")] = 32
    """Size of J, as ``width`` and ``depth`` are that of the others."""
    detector_depth: Annotated[Depth, Phase("detector")] = 0
    detector_batch: Annotated[Pairs, Phase("detector")] = 128
    """Samples of each kind in a step of J."""
    zeta: Annotated[Fraction, Phase("detector")] = 0.5
    """Share of real samples among J's positives in eq. 6; the rest are those of G'."""
    negatives: Annotated[
        Literal["boundary", "random", "noise", "patch-shuffle", "early-generator", "deformation"],
        Phase("detector"),
    ] = "boundary"
    """What J is trained against: ``boundary`` is the method, the others are controls; ``random``
    are samples of the same form and size without anything learned."""
    neighbours: Annotated[Pairs, Phase("detector")] = 8000
    """How many training samples the scores compare with, or are fitted to."""
    stage: Annotated[
        Literal[
            "task1", "task3", "j", "neighbours", "local", "density", "input_density",
            "combined", "unlike",
        ],
        Phase("detector"),
    ] = "unlike"  # fmt: skip

    def _phases(self) -> Mapping[str, int]:
        return {
            "gan": self.gan_steps,
            "autoencoder": self.autoencoder_steps if self.form in DECODED else 0,
            "boundary": self.boundary_steps,
            "retrain": self.retrain_steps,
            "detector": self.detector_steps,
        }

    def _begin(self, shape: list[int]) -> None:
        super()._begin(shape)
        self._gan_steps_done = 0
        self._scale = boundary.LITERAL

    def _train_rows(self, n: int) -> NDArray[np.int64]:
        return self._split(n)[0]

    def _split(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows to train on and those held out for the tail probabilities."""
        held_out = max(2, round(self.calibration * n))
        if n - held_out < 2:
            raise ConfigError(f"X must have at least 4 samples, got {n}")
        rows = np.random.default_rng(self._seed_of("split")).permutation(n)
        return rows[held_out:], rows[:held_out]

    def _enter(self, phase: str) -> None:
        {
            "gan": self._enter_gan,
            "autoencoder": self._enter_autoencoder,
            "boundary": self._enter_boundary,
            "retrain": self._enter_retrain,
            "detector": self._enter_detector,
        }[phase]()

    def _enter_gan(self) -> None:
        self._add("G")
        self._add("D")
        self._add(SNAPSHOT, networks.copy_of(self._networks["G"]))
        self._begin_average("G")
        self._train_here("G", "D")

    def _enter_autoencoder(self) -> None:
        self._take_average("G")
        if self.form in DECODED:
            self._add("autoencoder")
            self._train_here("autoencoder")

    def _enter_boundary(self) -> None:
        self._add("critic", networks.copy_of(self._networks["D"]))
        self._train_here("critic")
        if self.form == "pixel":
            self._add("B", networks.copy_of(self._networks["G"]))
        elif self.form in ("deformation", "mixture"):
            self._add("B")
        if "B" in self._networks:
            self._train_here("B")
        if self.normalised:
            z = self._latents(max(self.boundary_reference, 256))
            with torch.no_grad():
                self._scale = boundary.Scale.measure(self._networks["G"](z), z)

    def _enter_retrain(self) -> None:
        self._add("G'", networks.copy_of(self._networks["G"]))
        self._add("C", networks.copy_of(self._networks["D"]))
        self._begin_average("G'")
        self._train_here("G'", "C")

    def _enter_detector(self) -> None:
        self._take_average("G'")
        self._add("J")
        self._train_here("J")

    def _begin_average(self, name: str) -> None:
        if self.ema:
            self._add("average", networks.copy_of(self._networks[name]))

    def _take_average(self, name: str) -> None:
        """Replace G (or G') by the moving average of its weights."""
        if "average" in self._networks:
            self._networks[name] = self._networks.pop("average")

    def _new(self, name: str) -> nn.Module:
        if name == "J":
            return networks.critic(
                self._shape,
                width=self.detector_width,
                depth=self.detector_depth,
                normalised=False,
                seed=self._seed_of("J"),
            )
        if name in ("D", "critic", "C"):
            return self._critic_of("D", normalised=self.spectral_norm)
        if name == "autoencoder":
            return autoencoders.Autoencoder(
                self._shape,
                latent_dim=min(self.code_dim, self.latent_dim),
                width=self.width,
                depth=self.depth,
                seed=self._seed_of(name),
                standard=True,
            )
        if name == "B" and self.form != "pixel":
            return deformation.deformer(
                self._shape,
                latent_dim=self.latent_dim,
                grid=self.grid,
                radius=self.radius,
                residual=self.residual,
                seed=self._seed_of("B"),
            )
        return self._generator_of("G")

    def _optimiser(self, name: str, network: nn.Module) -> torch.optim.Optimizer:
        rates = {"G": self.gan_lr, "D": self.gan_lr, "J": self.detector_lr}
        rates |= {"B": self.boundary_lr, "critic": self.boundary_lr}
        rates |= {"G'": self.retrain_lr, "C": self.retrain_lr}
        rates |= {"autoencoder": self.autoencoder_lr}
        return adam(network, rates[name])

    def _step(self, phase: str, normals: batches.Sampler) -> dict[str, Tensor]:
        return {
            "gan": self._gan_step,
            "autoencoder": self._autoencoder_step,
            "boundary": self._boundary_step,
            "retrain": self._retrain_step,
            "detector": self._detector_step,
        }[phase](normals)

    def _gan_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update G once after ``critic_steps`` updates of D (eq. 1)."""
        m = divergence(self.divergence, tau=self.tau)
        G, D = self._networks["G"], self._networks["D"]
        for _ in range(self.critic_steps):
            x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
            with self._autocast():
                with torch.no_grad():
                    fake = G(z)
                on_x, on_fake = networks.jointly(D, x, fake)
                loss_d = m.positive_loss(on_x) + m.negative_loss(on_fake)
            self._update(loss_d + self._penalty(D, x, fake), "D")
        with self._autocast(), networks.frozen(D):
            loss_g = m.generator_loss(D(G(self._latents(self.batch_size))))
        self._update(loss_g, "G")
        self._move_average("G")
        return {"d": loss_d, "g": loss_g}

    def _stepped(self, phase: str) -> None:
        """Count the steps of Task 1, and keep its early G for a control."""
        if phase == "gan":
            self._gan_steps_done += 1
            if self._gan_steps_done == round(self.early * self.gan_steps):
                self._add(SNAPSHOT, networks.copy_of(self._networks["G"]))

    def _autoencoder_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update the autoencoder of B's latent forms once."""
        x = normals.draw(self.batch_size, self._generator)
        with self._autocast():
            reconstruction = self._networks["autoencoder"](x)
        loss = F.mse_loss(reconstruction.float(), x)
        self._update(loss, "autoencoder")
        return {"reconstruction": loss}

    def _boundary_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update B once (eq. 2) after its critic, which starts from D and tells G's samples (Task
        1's distribution) from B's.
        """
        m = divergence(self.divergence, tau=self.tau)
        critic = self._networks["critic"]
        z, reference = self._latents(self.boundary_batch), self._latents(self.boundary_reference)
        x = normals.draw(self.boundary_batch, self._generator)
        with self._autocast():
            with torch.no_grad():
                generated = self._networks["G"](reference)
            samples = self._boundary_samples(z, x, self._generator)
            positives = self._like(generated[: self.boundary_batch], self.form)
            on_positives, on_samples = networks.jointly(critic, positives, samples.detach())
            loss_critic = m.positive_loss(on_positives) + m.negative_loss(on_samples)
        rows = min(len(positives), len(samples))
        penalty = self._penalty(critic, positives[:rows], samples[:rows])
        self._update(loss_critic + penalty, "critic")
        with self._autocast(), networks.frozen(critic):
            metric = m.boundary_loss(critic(samples))
        distance = boundary.point_to_set(samples, generated, self._scale)
        dispersion = boundary.dispersion(samples, z, self._scale)
        if "B" in self._optimisers:
            self._update(metric + self.mu * distance + self.nu * dispersion, "B")
        return {"critic": loss_critic, "metric": metric, "d": distance, "s": dispersion}

    def _retrain_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update G' once after ``critic_steps`` updates of C (eq. 5); G, B and G' share their
        latents.
        """
        m = divergence(self.divergence, tau=self.tau)
        C, retrained = self._networks["C"], self._networks["G'"]
        for _ in range(self.critic_steps):
            x, z = normals.draw(self.batch_size, self._generator), self._latents(self.batch_size)
            base = normals.draw(self.batch_size, self._generator)
            with self._autocast():
                with torch.no_grad():
                    terms = self._retrain_terms(m, x, base, z)
                outputs = networks.jointly(C, *(samples for _, _, samples in terms))
                losses = [w * loss(v) for (w, loss, _), v in zip(terms, outputs, strict=True)]
                loss_c = torch.stack(losses).sum()
            real, new = terms[0][2], terms[1][2]
            self._update(loss_c + self._penalty(C, real, new), "C")
        with self._autocast(), networks.frozen(C):
            new = self._like(retrained(self._latents(self.batch_size)), self.form)
            loss_g = self.beta * m.generator_loss(C(new))
        self._update(loss_g, "G'")
        self._move_average("G'")
        return {"c": loss_c, "g": loss_g}

    def _retrain_terms(self, m: Divergence, x: Tensor, base: Tensor, z: Tensor) -> list[Term]:
        """Return the terms of eq. 5 as C sees them: weight, loss and samples. Real samples and
        those of G' come first; samples without weight are not computed.
        """
        real, new = (self._like(y, self.form) for y in (x, self._networks["G'"](z)))
        terms: list[Term] = [
            (self.alpha, m.positive_loss, real),
            (self.beta, m.negative_loss, new),
        ]
        if self.delta:
            old = self._like(self._networks["G"](z), self.form)
            terms.append((self.delta, m.positive_loss, old))
        if self.gamma:
            terms.append(
                (self.gamma, m.negative_loss, self._boundary_samples(z, base, self._generator))
            )
        return terms

    def _detector_step(self, normals: batches.Sampler) -> dict[str, Tensor]:
        """Update J once (eq. 6); of labelled anomalies it gets as many as of B's samples."""
        n, J = self.detector_batch, self._networks["J"]
        is_of_form = self.negatives in ("boundary", "random")
        kind = self.form if is_of_form else self.negatives
        x, z = normals.draw(n, self._generator), self._latents(n)
        with torch.no_grad(), self._autocast():
            positives = [x, self._networks["G'"](z)] if self.zeta < 1 else [x]
            positives = [self._like(y, kind) for y in positives]
            base = normals.draw(n, self._generator)
            negative = self._negatives(z, base, self._generator)
            if self._anomalies is not None:
                known = self._anomalies.draw(n, self._generator)
                negative = torch.cat([negative, self._like(known, kind)])
        with self._autocast():
            on_x, *on_generated, on_negative = networks.jointly(J, *positives, negative)
        loss_negative = F.softplus(-on_negative.float()).mean()
        loss_x = F.softplus(on_x.float()).mean()
        loss = self.zeta * loss_x
        for v in on_generated:
            loss = loss + (1 - self.zeta) * F.softplus(v.float()).mean()
        loss = loss + loss_negative
        self._update(loss, "J")
        return {"j": loss, "j_real": loss_x, "j_negative": loss_negative}

    def _boundary_samples(
        self, z: Tensor, x: Tensor, draw: torch.Generator, *, learned: bool = True
    ) -> Tensor:
        """Return B's samples ``(n, ...)`` for latents ``z`` and normal samples ``x``, or such of
        the same form and size of which nothing is ``learned``; what else is random comes from
        ``draw``.
        """
        if self.form == "pixel":
            return self._networks["B" if learned else "G"](z)  # type: ignore[no-any-return]
        if self.base == "generator":
            with torch.no_grad():
                x = self._networks["G"](z)
        bent = {"deformation": len(z), "mixture": len(z) // 2}.get(self.form, 0)
        parts = []
        if bent:
            parts.append(
                self._networks["B"](z[:bent], x[:bent])
                if learned
                else self._deformed(x[:bent], self.radius, draw)
            )
        if bent < len(z):
            moves = self.moves if learned else 0
            parts.append(self._decoded(z[bent:], x[bent:], moves, draw))
        return torch.cat(parts)

    def _decoded(self, z: Tensor, x: Tensor, moves: int, draw: torch.Generator) -> Tensor:
        """Return what codes decode to that began near those of ``x``, or between them, and went
        ``moves`` steps down eq. 2. No gradient comes back from them.
        """
        autoencoder: Any = self._networks["autoencoder"]
        with torch.no_grad():
            codes = autoencoder.encoder(x).float()
            if self.form == "between":
                start = latent.between(codes, draw)
            else:
                start = latent.near(codes, z[:, : codes.shape[1]], draw)
            normal = autoencoder.decoder(codes) if moves else x

        def energy(codes: Tensor) -> Tensor:
            return self._eq_2(autoencoder.decoder(codes), normal, z)

        end = latent.descend(energy, start, codes, steps=moves, rate=self.move_rate)
        with torch.no_grad():
            decoded: Tensor = autoencoder.decoder(end)
        return decoded

    def _eq_2(self, samples: Tensor, normal: Tensor, z: Tensor) -> Tensor:
        """Return eq. 2 of decoded samples, with those of G replaced by ``normal`` ones that were
        decoded too.
        """
        if self.guide == "j" and "J" in self._networks:
            metric: Tensor = self._networks["J"](samples).float().mean()
        else:
            m = divergence(self.divergence, tau=self.tau)
            metric = m.boundary_loss(self._networks["critic"](samples))
        with batches.exactly(self._device):  # distances cancel in lower precision
            distance = boundary.point_to_set(samples, normal, self._scale)
            dispersion = boundary.dispersion(samples, z, self._scale)
        return metric + self.mu * distance + self.nu * dispersion

    def _negatives(self, z: Tensor, x: Tensor, draw: torch.Generator) -> Tensor:
        """Return what J is trained against: B's samples, or those of a control."""
        if self.negatives == "boundary":
            return self._boundary_samples(z, x, draw)
        if self.negatives == "random":
            return self._boundary_samples(z, x, draw, learned=False)
        if self.negatives == "noise":
            return negatives.uniform_noise(x, draw)
        if self.negatives == "patch-shuffle":
            return negatives.patch_shuffle(x, draw)
        if self.negatives == "early-generator":
            return self._networks[SNAPSHOT](z)  # type: ignore[no-any-return]
        return self._deformed(x, self.radius, draw)

    def _like(self, x: Tensor, kind: str) -> Tensor:
        """Return ``x`` with the traces that making negatives of this ``kind`` leaves: hardly moved
        but interpolated, or in part reconstructed.
        """
        if kind == "deformation":
            return self._resampled(x)
        if kind not in DECODED:
            return x
        plain = len(x) - round(self.reconstructed * len(x))
        decoded = self._networks["autoencoder"](x[plain:])
        first = self._resampled(x[:plain]) if kind == "mixture" else x[:plain]
        return torch.cat([first, decoded.to(first.dtype)])

    def _resampled(self, x: Tensor) -> Tensor:
        return self._deformed(x, self.resample, self._generator) if x.dim() == 4 else x

    def _deformed(self, x: Tensor, radius: float, draw: torch.Generator) -> Tensor:
        size = deformation.field_size(self._shape, self.grid)
        fields = deformation.random_fields(len(x), size, radius, draw)
        return deformation.deform(x, fields)

    def _penalty(self, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        if not self.penalty:
            return torch.zeros((), device=self._device)
        if self.divergence == "wasserstein":
            mix = torch.rand(len(real), generator=self._generator, device=self._device)
            return self.penalty * penalties.gradient_penalty(critic, real, fake, mix)
        return self.penalty * penalties.r1(critic, real)

    def _move_average(self, name: str) -> None:
        if self.ema:
            networks.update_average(self._networks["average"], self._networks[name], self.ema)

    @torch.no_grad()
    def _health(self, normals: batches.Sampler, epoch: int) -> dict[str, float]:
        """Measure B's label-free health, on latents drawn apart so as not to disturb training."""
        if "critic" not in self._networks:
            return {}
        generator = torch.Generator(self._device).manual_seed(self._seed_of("health", epoch))
        size = (HEALTH_BATCH, self.latent_dim)
        z = torch.randn(size, generator=generator, device=self._device)
        x = normals.draw(HEALTH_BATCH, generator)
        generated = self._networks["G"](z)
        samples = self._in_eval_mode(lambda: self._boundary_samples(z, x, generator))
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
        """Compute with all networks in eval mode, since their statistics must not move."""
        training = [network for network in self._networks.values() if network.training]
        for network in training:
            network.eval()
        result = compute()
        for network in training:
            network.train()
        return result

    @torch.no_grad()
    def _finish(self, X: NDArray[Any]) -> None:
        """Store what scoring compares with: J's features of training samples and the densities
        that are fitted to these, and the scores of held-out normals.
        """
        train, held_out = self._split(len(X))
        compared = list(batches.in_order(X, self._device, train[: self.neighbours]))
        features = torch.cat([F.normalize(self._j.features(x)) for x in compared])
        near = neighbourhoods.Neighbourhoods.of(features)
        seed = self._seed_of("density")
        density = mixtures.Density.of(features, DENSITY, seed)
        flat = torch.cat([x.flatten(1) for x in compared])
        input_density = mixtures.Density.of(flat, INPUT_DENSITY, seed)
        for name, fitted in (("near", near), ("j", density), ("x", input_density)):
            self._fitted |= {f"{name}.{key}": value for key, value in vars(fitted).items()}
        pictured = next(batches.in_order(X, self._device, held_out[:PICTURES]))
        self._fitted["pictured"] = pictured
        parts = [
            torch.stack([*self._parts(x).values()])
            for x in batches.in_order(X, self._device, held_out)
        ]
        self._fitted["held_out"] = torch.cat(parts, dim=1)

    # Scoring

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        return {
            name: abnormality(self._networks[net](x)) for name, net in CRITICS.items()
        } | self._parts(x)

    def _parts_of_score(self, x: Tensor) -> dict[str, Tensor]:
        if self.stage in CRITICS:
            return {self.stage: abnormality(self._networks[CRITICS[self.stage]](x))}
        return self._parts(x, SUMS.get(self.stage, (self.stage,)))

    @torch.no_grad()
    def _training_scores(self, X: NDArray[Any]) -> NDArray[np.float32]:
        scores, train = self._needed_scores(X), self._split(len(X))[0]
        if scores.keys() & {"neighbours", "local"}:
            # A training sample is no neighbour of itself.
            near = neighbourhoods.Neighbourhoods(**self._fitted_as("near"))
            for name, own in zip(("neighbours", "local"), near.own_distances(), strict=True):
                if name in scores:
                    scores[name][train[: self.neighbours]] = own.cpu().numpy()
        # J has seen it, and densities were fitted to it.
        for name, known in zip(PARTS, self._fitted["held_out"].cpu().numpy(), strict=True):
            if name in scores:
                scores[name][train] = tails.at_same_ranks(scores[name][train], known)
        return self._derived(scores)[self.stage]

    def _derived(self, scores: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        held_out = dict(zip(PARTS, self._fitted["held_out"].cpu().numpy(), strict=True))
        sums = {
            name: tails.fisher(
                np.stack([held_out[part] for part in parts]),
                np.stack([scores[part] for part in parts]),
            ).astype(np.float32)
            for name, parts in SUMS.items()
            if scores.keys() >= set(parts)
        }
        return scores | sums

    def _parts(self, x: Tensor, wanted: Sequence[str] = PARTS) -> dict[str, Tensor]:
        """Return those of ``PARTS`` that are ``wanted``, in that order, ``(n,)`` each."""
        features = self._j.features(x)
        directions = F.normalize(features)
        parts = {"j": self._j.head(features).squeeze(1)}
        if {"neighbours", "local"} & set(wanted):
            near = neighbourhoods.Neighbourhoods(**self._fitted_as("near"))
            parts["neighbours"], parts["local"] = near.distances(directions)
        if "density" in wanted:
            parts["density"] = mixtures.Density(**self._fitted_as("j")).surprise(directions)
        if "input_density" in wanted:
            of_input = mixtures.Density(**self._fitted_as("x"))
            parts["input_density"] = of_input.surprise(x.flatten(1))
        return {name: parts[name] for name in wanted}

    def _fitted_as(self, prefix: str) -> dict[str, Tensor]:
        """Return what was fitted under this name, by the names of its parts."""
        start = f"{prefix}."
        return {
            name.removeprefix(start): value
            for name, value in self._fitted.items()
            if name.startswith(start)
        }

    def pictures(self, n: int) -> dict[str, NDArray[np.float32]]:
        """Return rows of real images and of those of G, B and G'; none for vectors."""
        self._check_fitted()
        if len(self._shape) == 1:
            return {}
        return self._samples(self._fitted["pictured"][:n])

    def samples(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return normal samples ``X``, and as many of G, B and G', by name.

        B's are deformations of ``X`` where ``base`` is ``real``.
        """
        self._check_fitted()
        return self._samples(torch.cat(list(batches.in_order(X, self._device))))

    @torch.no_grad()
    def _samples(self, real: Tensor) -> dict[str, NDArray[np.float32]]:
        draw = torch.Generator(self._device).manual_seed(self._seed_of("pictures"))
        z = torch.randn(len(real), self.latent_dim, generator=draw, device=self._device)
        rows = {
            "real": real,
            "G": self._networks["G"](z),
            "B": self._boundary_samples(z, real, draw),
            "G'": self._networks["G'"](z),
        }
        if self.negatives != "boundary":
            rows["negatives"] = self._negatives(z, real, draw)
        return {name: x.float().cpu().numpy() for name, x in rows.items()}

    @property
    def _j(self) -> networks.Critic:
        return cast(networks.Critic, self._networks["J"])

    # State

    def state_dict(self) -> State:
        """Return the state of every neural detector, and the scale of Task 2's distances."""
        return super().state_dict() | {
            "gan_steps_done": self._gan_steps_done,
            "scale": [self._scale.sample, self._scale.latent],
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from ``state``, which a detector with the same params returned.

        Raises:
            ConfigError: the state belongs to other params or to an earlier version.
        """
        super().load_state_dict(state)
        self._gan_steps_done = state["gan_steps_done"]
        self._scale = boundary.Scale(*state["scale"])
        if self._position == len(self._schedule()) and "x.mean" not in self._fitted:
            raise ConfigError("the state is of an earlier version, which had fewer scores")
