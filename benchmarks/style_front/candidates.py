"""Ways to train that were tried and are no arguments of sdtune, each in a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdtune import LoRAStyleModule
from sdtune.functional import add_noise, copied_to, counter_randn
from sdtune.functional.randomness import Stream
from sdtune.models import Conditioning
from sdtune.techniques.colour_shift import ColourShift
from sdtune.techniques.training_draws import TrainingDraws

__all__ = ["CANDIDATES"]


class BelowOnly(LoRAStyleModule):
    """No loss above a level: all steps are drawn below it."""

    level = 0.7

    def _timesteps(self, draws: TrainingDraws) -> Tensor:
        return (super()._timesteps(draws) * self.level).long()


class _NoShift(ColourShift):
    """The base's colours are kept too."""

    def see(self, differences: Tensor, slopes: Tensor, places: Tensor | None) -> Tensor:
        del slopes, places
        return torch.zeros_like(differences.mean(dim=(2, 3), keepdim=True))


class _OwnShift(ColourShift):
    """Each picture's own mean colour is learned."""

    def see(self, differences: Tensor, slopes: Tensor, places: Tensor | None) -> Tensor:
        del slopes, places
        return differences.mean(dim=(2, 3), keepdim=True)


class AllKept(LoRAStyleModule):
    """Above `keep_content_above` the base's predictions are learned as they are, colours too."""

    colour: type[ColourShift] = _NoShift

    def __init__(self, base: str = "nano", **kwargs: Any) -> None:
        super().__init__(base, **kwargs)
        if self.method.content is not None:
            content = replace(self.method.content, colour=self.colour())
            self.method = replace(self.method, content=content)


class OwnColour(AllKept):
    """Above `keep_content_above` the mean colour of a picture is learned as below it."""

    colour = _OwnShift


class MoreBelow(AllKept):
    """A share of the steps above `keep_content_above`, whatever part of the schedule that is."""

    share = 0.1

    def _timesteps(self, draws: TrainingDraws) -> Tensor:
        assert self.method.content is not None
        total, level = self.model.num_train_timesteps, self.method.content.above
        place = super()._timesteps(draws).double() / total
        below = place / (1.0 - self.share) * level
        above = level + (place - (1.0 - self.share)) / self.share * (1.0 - level)
        return (torch.where(place < 1.0 - self.share, below, above) * total).long()


class OtherCaptions(AllKept):
    """Above `keep_content_above` each sample has the caption of another one of its batch."""

    def _losses(
        self,
        batch: dict[str, Any],
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        training: bool = True,
    ) -> Tensor:
        assert self.method.content is not None
        captions = list(batch["caption"])
        for row in self.method.content.rows(timesteps, self.model.num_train_timesteps):
            captions[row] = batch["caption"][row - 1]
        return super()._losses({**batch, "caption": captions}, latents, noise, timesteps, training)


class SoftLevel(AllKept):
    """A target that goes over, between two levels, from the data's to the base's prediction.

    `keep_content_above` has to be the lower level.
    """

    end = 0.95

    def _losses(
        self,
        batch: dict[str, Any],
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        training: bool = True,
    ) -> Tensor:
        assert self.method.content is not None
        if not training:
            return super()._losses(batch, latents, noise, timesteps, training)
        kept = super()._losses(batch, latents, noise, timesteps, training)
        # |p - (w b + (1 - w) d)|^2 has the gradient of w |p - b|^2 + (1 - w) |p - d|^2
        plain = super()._losses(batch, latents, noise, timesteps, training=False)
        start = self.method.content.above
        place = timesteps / self.model.num_train_timesteps
        weight = copied_to(((place - start) / (self.end - start)).clamp(0.0, 1.0), kept.device)
        return weight * kept + (1.0 - weight) * plain


class Bridge(AllKept):
    """Below the level the way leads from the base's own pictures to the style's.

    At the level noisy latents are those of what the base makes of a training picture, and at the
    end they are the picture's own: the noise is moved by their difference, times the square root of
    the level's signal-to-noise ratio. So the LoRA learns to turn what the base has begun into the
    style. `keep_content_above` is the level.
    """

    redrawn = 0.6  # share of the noise schedule from which the base draws its own version
    steps = 8
    guidance = 3.0
    most = 1.0
    every = 1  # of how many samples one is on the way

    def _losses(
        self,
        batch: dict[str, Any],
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        training: bool = True,
    ) -> Tensor:
        assert self.method.content is not None
        total = self.model.num_train_timesteps
        level = round(self.method.content.above * total)
        pairs = zip(timesteps.tolist(), batch["index"], strict=True)
        places = [row for row, (t, n) in enumerate(pairs) if t < level and self._is_bridged(int(n))]
        if training and places:
            rows = copied_to(torch.tensor(places), latents.device)
            signal = float(self.model.noise_scheduler.alphas_cumprod[level])
            ratio = self.most * (signal / (1.0 - signal)) ** 0.5
            some = {key: [batch[key][row] for row in places] for key in ("caption", "index")}
            own = latents[rows]
            moved = noise[rows] + ratio * (self._versions(some, own) - own)
            noise = noise.index_copy(0, rows, moved)
        return super()._losses(batch, latents, noise, timesteps, training)

    def _is_bridged(self, index: int) -> bool:
        return (index + self.current_epoch) % self.every == 0

    @torch.no_grad()
    def _versions(self, batch: dict[str, Any], latents: Tensor) -> Tensor:
        """Return what the base makes of each picture; itself where there is no caption."""
        known: dict[int, Tensor] = self.__dict__.setdefault("_known", {})
        indices = [int(each) for each in batch["index"]]
        new = [
            row
            for row, index in enumerate(indices)
            if index not in known and batch["caption"][row].strip()
        ]
        if new:
            captions = [batch["caption"][row] for row in new]
            with self.untuned():
                drawn = self._redraw(latents[new], captions, [indices[row] for row in new])
            for row, version in zip(new, drawn, strict=True):
                known[indices[row]] = version
        pairs = zip(indices, latents, strict=True)
        return torch.stack([known.get(index, own) for index, own in pairs])

    def _redraw(self, latents: Tensor, captions: Sequence[str], indices: Sequence[int]) -> Tensor:
        """Noise latents to `redrawn`, and let the base denoise them (DDIM, guided)."""
        total, alphas = self.model.num_train_timesteps, self.model.alphas_cumprod
        shares = self.model.noise_scheduler.alphas_cumprod
        noise = counter_randn(latents.shape[1:], self.seed, Stream.MIXTURE, 7, indices).to(latents)
        steps = torch.linspace(self.redrawn * total, 0, self.steps + 1).long().clamp(max=total - 1)
        count = len(latents)
        told = Conditioning.cat([self.encode(list(captions)), self.encode([""] * count)])
        noisy = add_noise(latents, noise, self._at(int(steps[0]), count), alphas)
        for now, then in zip(steps[:-1].tolist(), steps[1:].tolist(), strict=True):
            alpha, sigma = float(shares[now]) ** 0.5, (1.0 - float(shares[now])) ** 0.5
            both = torch.cat([noisy, noisy])
            wanted, unwanted = self.model(both, self._at(now, 2 * count), told).chunk(2)
            velocity = unwanted + self.guidance * (wanted - unwanted)
            clean, drawn = alpha * noisy - sigma * velocity, sigma * noisy + alpha * velocity
            if then == 0:
                return clean
            noisy = add_noise(clean, drawn, self._at(then, count), alphas)
        return noisy

    def _at(self, step: int, count: int) -> Tensor:
        return torch.full((count,), step, device=self.model.device)


class BridgeAtOnce(Bridge):
    """The same, with the base's version from one prediction.

    Anew at every step it works for pictures that are cropped and flipped anew, too.
    """

    redrawn = 0.0  # the level itself
    kept_for = 1  # epochs for which a version serves

    @torch.no_grad()
    def _versions(self, batch: dict[str, Any], latents: Tensor) -> Tensor:
        assert self.method.content is not None
        known: dict[int, Tensor] = self.__dict__.setdefault("_known", {})
        indices = [int(each) for each in batch["index"]]
        epoch = self.current_epoch
        new = [
            row
            for row, index in enumerate(indices)
            if index not in known or (index + epoch) % self.kept_for == 0
        ]
        now = {}
        if new:
            some: dict[str, Any] = {"caption": [batch["caption"][row] for row in new]}
            some["index"] = [indices[row] for row in new]
            rows = copied_to(torch.tensor(new), latents.device)
            now = dict(zip(new, self._predicted(some, latents[rows]), strict=True))
            # one without a caption is no version of the picture, and serves this once
            known |= {indices[row]: now[row] for row in new if batch["caption"][row].strip()}
        return torch.stack([now.get(row, known.get(n)) for row, n in enumerate(indices)])

    def _predicted(self, batch: dict[str, Any], latents: Tensor) -> Tensor:
        """Noise latents to the level, and let the base say what they are of."""
        assert self.method.content is not None
        total, alphas = self.model.num_train_timesteps, self.model.alphas_cumprod
        place = round(max(self.redrawn, self.method.content.above) * total)
        timesteps = self._at(place, len(latents))
        draws = TrainingDraws(self.seed, batch["index"], self.trainer, 0)
        noise = self._noise(latents, draws)
        noisy = add_noise(latents, noise, timesteps, alphas)
        with self.untuned():
            velocity = self.model(noisy, timesteps, self._conditioning(batch["caption"]))
        alpha = float(self.model.noise_scheduler.alphas_cumprod[place]) ** 0.5
        return alpha * noisy - (1.0 - alpha**2) ** 0.5 * velocity


class BridgeAtOnceMoreBelow(MoreBelow, BridgeAtOnce):
    """The same, with a share of the steps above the level."""

    share = 0.15


CANDIDATES: Mapping[str, type[LoRAStyleModule]] = {
    "below_only": BelowOnly,
    "more_below": MoreBelow,
    "other_captions": OtherCaptions,
    "soft_level": SoftLevel,
    "all_kept": AllKept,
    "own_colour": OwnColour,
    "bridge": Bridge,
    "bridge_at_once": BridgeAtOnce,
    "bridge_at_once_more_below": BridgeAtOnceMoreBelow,
}
