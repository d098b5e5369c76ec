"""The doctor names each fault with its cure."""

import subprocess
import sys

import pytest

from repset import doctor
from repset.doctor import CHECKS, Check, Result, run_check


def test_this_environment_is_whole() -> None:
    faults = {c.title: r.found for c in CHECKS if (r := run_check(c)).state == "fault"}
    assert faults == {}


def test_several_opencv_wheels_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = {"opencv-python": "4.12.0", "opencv-contrib-python": "4.11.0"}
    monkeypatch.setattr(doctor, "_installed", lambda prefix: wheels)
    assert doctor.one_opencv() == Result(
        "fault",
        "opencv-contrib-python 4.11.0, opencv-python 4.12.0",
        "Build the environment anew: make clean setup",
    )


def test_a_check_that_crashes_is_a_fault_with_its_own_words() -> None:
    def broken() -> Result:
        raise ImportError("libGL.so.1: cannot open shared object file")

    result = run_check(Check("graphics", broken))
    assert result.state == "fault"
    assert result.found == "ImportError: libGL.so.1: cannot open shared object file"


def test_missing_pose_models_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_package_file", lambda *parts: None)
    result = doctor.pose_models()
    assert result.state == "fault"
    assert result.found.endswith("without pose_detection.tflite, pose_landmark_full.tflite")


def test_the_command_exits_zero_here() -> None:
    done = subprocess.run([sys.executable, "-m", "repset", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "one OpenCV: opencv-python-headless" in done.stdout
