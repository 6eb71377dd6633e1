import hashlib
import signal
import sys

import msgspec
import pytest

import shared.bundle
from shared import manifest as manifests
from shared.bundle import MODEL_FILE, find_bundle
from shared.errors import BundleError
from shared.predictor import load_bundle


def admit(folder, model):
    """Put a model file into a bundle as if it had been released so: only the trial can find it out."""
    (folder / MODEL_FILE).write_bytes(model)
    manifest = manifests.read(folder)
    manifests.write(msgspec.structs.replace(manifest, sha256=hashlib.sha256(model).hexdigest()), folder)


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Let the trial's child process run a shell script instead."""

    def become(script):
        path = tmp_path / "child"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return become


def test_a_name_finds_its_highest_version_and_a_version_exactly_that_one(tmp_path):
    for version in ("1.9.0", "1.10.0"):
        (tmp_path / "toy" / version).mkdir(parents=True)
        (tmp_path / "toy" / version / "manifest.json").touch()
    assert find_bundle("toy", tmp_path) == tmp_path / "toy" / "1.10.0"
    assert find_bundle("toy@1.9.0", tmp_path) == tmp_path / "toy" / "1.9.0"
    assert find_bundle(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("ref", ["turbofan-fd999", "turbofan@9.9.9", "/nowhere", "tests", ""])
def test_what_is_not_there_is_answered_with_what_is(ref):
    with pytest.raises(BundleError, match=r"turbofan@\d+\.\d+\.\d+"):
        find_bundle(ref)


def test_a_missing_model_file_is_named(copy):
    (copy / MODEL_FILE).unlink()
    with pytest.raises(BundleError, match=r"model\.tflite: No such file.*install the released bundle again"):
        load_bundle(copy)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_file_is_refused_by_its_sha256(copy, keep):
    model = (copy / MODEL_FILE).read_bytes()
    (copy / MODEL_FILE).write_bytes(model[: int(len(model) * keep)])
    with pytest.raises(BundleError, match="is damaged or not the released file"):
        load_bundle(copy)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_model_file_that_was_released_so_kills_at_most_the_trial(copy, runtime, keep, monkeypatch):
    # The runtime reads on past the end: it refuses, crashes or hangs as what lies there will have it.
    monkeypatch.setattr(shared.bundle, "TRIAL_TIMEOUT_S", 5.0)
    model = (copy / MODEL_FILE).read_bytes()
    admit(copy, model[: int(len(model) * keep)])
    with pytest.raises(BundleError, match="the bundle cannot be used"):
        load_bundle(copy, runtime)


@pytest.mark.parametrize("part", ["input", "output"])
def test_numbers_that_the_model_file_stores_otherwise_than_the_manifest_says_are_found_out(copy, runtime, part):
    manifest = manifests.read(copy)
    twice = msgspec.structs.replace(getattr(manifest, part), scale=getattr(manifest, part).scale * 2)
    manifests.write(msgspec.structs.replace(manifest, **{part: twice}), copy)
    with pytest.raises(BundleError, match=r"the model file stores .* its manifest says"):
        load_bundle(copy, runtime)


def test_a_model_that_computes_something_else_is_found_out_by_its_golden_vectors(copy, runtime):
    manifest = manifests.read(copy)
    golden = msgspec.structs.replace(manifest.golden_tensors[0], output=b"\x00\x7f\x80\x00")
    manifests.write(msgspec.structs.replace(manifest, golden_tensors=[golden]), copy)
    with pytest.raises(BundleError, match="golden tensor 0 does not come out on"):
        load_bundle(copy, runtime)


def test_features_that_changed_since_the_release_are_found_out(copy):
    manifest = manifests.read(copy)
    spec = msgspec.structs.replace(manifest.features, ewma_alpha=0.5)
    manifests.write(msgspec.structs.replace(manifest, features=spec), copy)
    with pytest.raises(BundleError, match="golden history 0 does not come out"):
        load_bundle(copy)


def test_a_crash_of_the_runtime_is_an_error_that_names_the_signal(released, child):
    child("kill -SEGV $$")
    with pytest.raises(BundleError, match=rf"crashed on the model \(signal {signal.SIGSEGV.value}\)"):
        load_bundle(released)


def test_a_runtime_that_hangs_is_given_up(released, child, monkeypatch):
    monkeypatch.setattr(shared.bundle, "TRIAL_TIMEOUT_S", 0.2)
    child("exec sleep 30")
    with pytest.raises(BundleError, match="took longer than"):
        load_bundle(released)


def test_a_file_that_passed_is_not_tried_again_on_that_runtime(released, child, tmp_path):
    trusted = tmp_path / "trusted"
    load_bundle(released, "tflite-runtime", trusted_cache=trusted)
    child("exit 1")
    load_bundle(released, "tflite-runtime", trusted_cache=trusted)
    with pytest.raises(BundleError, match="no reason given"):
        load_bundle(released, "ai-edge-litert", trusted_cache=trusted)
    assert len(trusted.read_text().splitlines()) == 1
