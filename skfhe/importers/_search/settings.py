"""What is searched over: bits of inputs, values and weights, and how accumulators are rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from skfhe._typing import RangeSource, Rounding
from skfhe.cost import MAX_LOOKUP_BITS
from skfhe.network import Calibration, Emitter, PostTraining, RoundingNoise, Scheme, Trained

__all__ = ["Options", "Setting", "Space"]


@dataclass(frozen=True)
class Setting:
    """One way to quantize a network.

    Parameters
    ----------
    model_inputs, op_inputs, op_weights, model_outputs : int or None
        As in ``n_bits`` of `skfhe.compile_torch_model`; None of the first three for a network that quantizes
        itself.
    rounding : tuple of int and {"exact", "approximate"}, or None
    layers : tuple of (str, int)
        Layers whose accumulators are rounded to other bits, by label.
    calibration : {"mse", "minmax", "percentile"}, default=None
        How ranges are chosen; None as the import says.
    """

    model_inputs: int | None
    op_inputs: int | None
    op_weights: int | None
    model_outputs: int | None
    rounding: Rounding | None
    layers: tuple[tuple[str, int], ...] = ()
    calibration: Calibration | None = None

    def of_widths(self, widths: Mapping[str, int]) -> Setting:
        """Return the setting with some of its widths replaced, by their names."""
        return replace(self, **widths)  # type: ignore[arg-type]

    def bits_of(self, layer: str) -> int | None:
        """Return the bits that the accumulators of a layer are rounded to."""
        return None if self.rounding is None else dict(self.layers).get(layer, self.rounding[0])


@dataclass(frozen=True)
class Options:
    """What all settings of one import have in common.

    Parameters
    ----------
    import_qat : bool
        Whether the network quantizes itself.
    calibration : {"mse", "minmax", "percentile"}
    range_source : {"proven", "calibrated"}
    margin : float
    mixed : bool, default=False
        Whether what a network does not quantize itself is quantized after training.
    widest : int, default=16
        Bits that a lookup may read: the engine's, or more in the clear.
    """

    import_qat: bool
    calibration: Calibration
    range_source: RangeSource
    margin: float
    mixed: bool = False
    widest: int = MAX_LOOKUP_BITS

    def scheme(self, setting: Setting, p_error: float | None = None) -> Scheme:
        """Return the scheme of a setting.

        Parameters
        ----------
        setting : Setting
        p_error : float, optional
            Error rate of lookups that approximate rounding is modelled at on the calibration rows. Without,
            they are rounded to the nearest there.
        """
        approximate = setting.rounding is not None and setting.rounding[1] == "approximate"
        noise = RoundingNoise(p_error) if approximate and p_error is not None else None
        least = 1.0 if noise is None else LEAST_MARGIN
        emitter = Emitter(
            self.range_source, self.margin, setting.rounding, dict(setting.layers), noise, least, self.widest
        )
        if self.import_qat:
            others = self._post_training(emitter, setting) if self.mixed else None
            return Trained(emitter, setting.model_inputs, others)
        return self._post_training(emitter, setting)

    def _post_training(self, emitter: Emitter, setting: Setting) -> PostTraining:
        assert setting.model_inputs is not None
        assert setting.op_inputs is not None
        assert setting.op_weights is not None
        return PostTraining(
            emitter,
            setting.model_inputs,
            setting.op_inputs,
            setting.op_weights,
            setting.model_outputs,
            setting.calibration or self.calibration,
        )


LEAST_MARGIN = 0.6
"""Part of the margin that does where more of it would take one more bit."""


@dataclass(frozen=True)
class Space:
    """What of a setting is given, and what is searched for.

    Parameters
    ----------
    given : Setting
        What is not searched for is as here.
    widths : bool
        Whether bits of inputs, values and weights are searched for.
    rounding : bool
        Whether rounding is.
    """

    given: Setting
    widths: bool
    rounding: bool
