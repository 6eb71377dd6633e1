"""Imports numpy without the parts that nothing here uses, which are a third of the memory that it takes: 5 MB."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

UNUSED = frozenset(
    (
        "numpy.core._add_newdocs",
        "numpy.core._add_newdocs_scalars",
        "numpy.ctypeslib",
        "numpy.fft",
        "numpy.ma",
        "numpy.polynomial",
        "numpy.random",
    )
)


class _Lazily(MetaPathFinder):
    """Finds these modules so that they are loaded when somebody looks into them, which nobody does."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in UNUSED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def import_numpy() -> None:
    """Import numpy, which then computes in one thread; to be called before anything else imports it."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else one per core, for matrices of some dozens of numbers
    finder = _Lazily()
    sys.meta_path.insert(0, finder)
    try:
        import numpy  # noqa: F401
    finally:
        sys.meta_path.remove(finder)
