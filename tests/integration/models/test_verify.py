"""``spoolwatch-models verify``: a good bundle is told of, a defect ends it with the reason."""

import hashlib
import json
import shutil

import msgspec
import pytest

from models import cli, verification
from shared import manifest as manifests
from shared.bundle import MODEL_FILE, find_bundle
from shared.network import Network


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(find_bundle("turbofan"), tmp_path / "bundle")


def test_every_released_bundle_is_good_on_both_runtimes(capsys):
    cli.main(["verify"])
    told = capsys.readouterr().out
    newest = find_bundle("turbofan")
    assert f"turbofan@{newest.name} is good: {newest}\n" in told
    assert told.count("is good") == len(list(cli.REGISTRY.glob("*/*")))
    assert told.count("come out on tflite-runtime 2.14.0 and ai-edge-litert") == told.count("is good")


def test_json_tells_what_was_proved(copy, capsys):
    cli.main(["verify", str(copy / MODEL_FILE), "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["size_bytes"] == (copy / MODEL_FILE).stat().st_size
    assert len(found["runtimes"]) == 2
    assert found["tensors"] == 208
    assert found["difference_steps"] <= 1


def test_another_model_file_is_found_out(copy):
    (copy / MODEL_FILE).write_bytes(b"\0" + (copy / MODEL_FILE).read_bytes())
    with pytest.raises(SystemExit, match=r"model\.tflite is damaged or not the released file"):
        cli.main(["verify", str(copy)])


def test_a_model_above_the_limit_is_found_out(copy):
    model = (copy / MODEL_FILE).read_bytes().ljust(100_001, b"\0")
    (copy / MODEL_FILE).write_bytes(model)
    manifest = manifests.read(copy)
    manifests.write(msgspec.structs.replace(manifest, sha256=hashlib.sha256(model).hexdigest()), copy)
    with pytest.raises(SystemExit, match="has 100001 bytes; 100000 are allowed"):
        cli.main(["verify", str(copy)])


def test_a_wrong_golden_vector_is_found_out(copy):
    manifest = manifests.read(copy)
    golden = msgspec.structs.replace(manifest.golden_tensors[0], output=b"\x00\x7f\x80\x00")
    manifests.write(msgspec.structs.replace(manifest, golden_tensors=[golden]), copy)
    with pytest.raises(SystemExit, match="golden tensor 0 does not come out on tflite-runtime"):
        cli.main(["verify", str(copy)])


def test_runtimes_that_differ_by_more_than_a_step_are_found_out(copy, monkeypatch):
    run = Network.run
    calls = []

    def drifting(network, tensor):
        """The second runtime is two steps off wherever no golden vector watches."""
        calls.append(network)
        watched = any(tensor.tobytes() == golden.input for golden in manifests.read(copy).golden_tensors)
        return run(network, tensor).astype(int) + (0 if watched or network is calls[0] else 2)

    monkeypatch.setattr(Network, "run", drifting)
    with pytest.raises(SystemExit, match="differ by 2 quantisation steps"):
        cli.main(["verify", str(copy)])


def test_with_one_runtime_installed_the_missing_comparison_is_told(copy, monkeypatch, capsys):
    monkeypatch.setattr(verification, "installed", lambda: ["ai-edge-litert 2.3.0"])
    cli.main(["verify", str(copy)])
    assert "not compared with another runtime: only this one is installed" in capsys.readouterr().out
