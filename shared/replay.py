"""Predicts again from what a prediction was stored with, and tells how far apart the two are."""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from shared.errors import SpoolwatchError
from shared.manifest import HEADS
from shared.messages import Flags, RulCycles
from shared.predictor import Predictor

Agreement = Literal["identical", "one_step", "different"]


class ReplayError(SpoolwatchError):
    """A stored prediction is none that this model can have made."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A prediction made again.

    Attributes:
        agreement: ``identical`` where every number is the same; ``one_step`` where they are what the network's outputs
            give that are at most one quantisation step away, as on another runtime or architecture; else ``different``.
    """

    rul_cycles: RulCycles
    agreement: Agreement


def replay(predictor: Predictor, tensor: bytes, flags: Flags, stored: RulCycles) -> Replay:
    """Predict again.

    Args:
        predictor: of the model that made the stored prediction.
        tensor: the input tensor that it was stored with.
        flags: those of its row.
        stored: what it says.

    Raises:
        ReplayError: the tensor is none of this model, or for such flags it says nothing.
    """
    width = len(predictor.manifest.features.center)
    if len(tensor) != width:
        raise ReplayError(
            f"its input tensor has {len(tensor)} bytes; that of model {predictor.manifest.name} has {width}"
        )
    if refusal := predictor.refusal(flags):
        raise ReplayError(f"with its flags the model says nothing: {refusal}")
    output = predictor.network.run(np.frombuffer(tensor, np.int8))
    again = predictor.interpret(output, flags)
    if again == stored:
        return Replay(again, "identical")
    steps = (np.array(step, np.int16) for step in product((-1, 0, 1), repeat=len(HEADS)))
    near = any(predictor.interpret(output + step, flags) == stored for step in steps)
    return Replay(again, "one_step" if near else "different")
