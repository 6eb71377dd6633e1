"""What an agent with a file as its source does not import: each would cost every gateway memory."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from edge_agent import lean
lean.import_numpy()
import edge_agent.cli, edge_agent.app, edge_agent.sources.file
from shared.predictor import find_bundle, load_bundle
predictor = load_bundle(find_bundle("turbofan"))
import numpy
lazy = [name for name, module in sys.modules.items() if type(module).__name__ == "_LazyModule"]
modules = sorted(sys.modules)
drawn = numpy.random.default_rng(1).random()
print(json.dumps([modules, lazy, drawn]))
"""
"""As ``run`` does it, up to the first row; then what was left out is asked for after all."""


def test_an_agent_with_a_file_loads_no_library_that_it_does_not_need():
    output = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    modules, lazy, drawn = json.loads(output)
    unneeded = {"asyncua", "cryptography", "pymodbus", "prometheus_client", "serial", "httpx"}
    assert unneeded.isdisjoint(modules)
    assert {"numpy.random", "numpy.ma", "numpy.fft", "numpy.polynomial"} <= set(lazy)
    assert 0 < drawn < 1
