"""Which TFLite runtimes are installed; says so without loading one."""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

from shared.errors import BundleError

Runtime = Literal["auto", "tflite-runtime", "ai-edge-litert"]

MODULES = {"tflite-runtime": "tflite_runtime.interpreter", "ai-edge-litert": "ai_edge_litert.interpreter"}


def installed() -> list[str]:
    """Name and version of every installed runtime, the preferred one first."""
    return [f"{name} {version(name)}" for name in MODULES if find_spec(MODULES[name].partition(".")[0])]


def choose_runtime(wanted: Runtime) -> str:
    """Name and version of the runtime to use.

    Raises:
        BundleError: it is not installed.
    """
    for runtime in installed():
        if wanted in ("auto", runtime.partition(" ")[0]):
            return runtime
    names = " or ".join(MODULES) if wanted == "auto" else wanted
    raise BundleError(f"the TFLite runtime is not installed ({names}); install spoolwatch[agent] or [aggregator]")
