"""Runs the network of a model file; the only importer of the TFLite runtimes."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.bundle import Bundle
from shared.errors import BundleError
from shared.manifest import Quantisation
from shared.runtimes import MODULES

Int8 = NDArray[np.int8]


class Network:
    """The interpreter of one model file, int8 in, int8 out."""

    def __init__(self, bundle: Bundle, runtime_name: str) -> None:
        module = importlib.import_module(MODULES[runtime_name])
        # For one row at a time tflite-runtime's optimised kernels take eight times as long (DECISIONS.md, entry 35).
        resolver = module.OpResolverType.BUILTIN_REF
        self._interpreter: Any = module.Interpreter(
            model_content=bundle.model, num_threads=1, experimental_op_resolver_type=resolver
        )
        self._interpreter.allocate_tensors()
        self._input = self._index(self._interpreter.get_input_details(), bundle.manifest.input)
        self._output = self._index(self._interpreter.get_output_details(), bundle.manifest.output)
        stored = bundle.manifest.input
        # As arrays: with a number a ufunc takes twice as long on one row.
        self._scale, self._zero_point = np.array([[stored.scale], [stored.zero_point]], np.float32)
        self._lowest, self._highest = np.array([[-128], [127]], np.float32)

    @staticmethod
    def _index(details: list[dict[str, Any]], stated: Quantisation) -> int:
        """Where the only input or output is, once it is stored as the manifest says."""
        scale, zero_point = details[0]["quantization"]
        if not np.isclose(scale, stated.scale, rtol=1e-6) or zero_point != stated.zero_point:
            raise BundleError(
                f"the model file stores {details[0]['name']} with scale {scale} and zero point {zero_point}, its "
                f"manifest says {stated.scale} and {stated.zero_point}; install the released bundle again"
            )
        return int(details[0]["index"])

    def quantise(self, features: NDArray[np.float32]) -> Int8:
        """Features → input tensor."""
        stored = features / self._scale
        np.rint(stored, out=stored)
        stored += self._zero_point
        np.maximum(stored, self._lowest, out=stored)
        np.minimum(stored, self._highest, out=stored)
        tensor: Int8 = stored.astype(np.int8)
        return tensor

    def run(self, tensor: Int8) -> Int8:
        """Input tensor → output tensor, one value per head."""
        self._interpreter.set_tensor(self._input, tensor[None])
        self._interpreter.invoke()
        output: Int8 = self._interpreter.get_tensor(self._output)[0]
        return output
