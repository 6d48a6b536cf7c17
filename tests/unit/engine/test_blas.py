import platform
import sys
from pathlib import Path

import pytest

from gateway.fleet.blas import engine_environment, find_blas, physical_core_count

OURS = Path(sys.executable).read_bytes()[:20]
"""The header of a binary that this machine runs."""
GOOD = OURS + b"\0cblas_sgemm\0cblas_dgemm\0"


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")


def _library(usr: Path, name: str, content: bytes = GOOD) -> Path:
    path = usr / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_threaded_library_is_taken_before_the_serial_one(tmp_path: Path) -> None:
    _library(tmp_path, "lib/x86_64-linux-gnu/openblas-serial/libblas.so.3")
    threaded = _library(tmp_path, "lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3")
    assert find_blas(tmp_path) == threaded


def test_a_library_of_fedora_is_found(tmp_path: Path) -> None:
    assert find_blas(tmp_path) is None
    library = _library(tmp_path, "lib64/libopenblasp.so.0")
    assert find_blas(tmp_path) == library


@pytest.mark.parametrize(
    "content", [b"", OURS + b"\0sgemm_\0", OURS + b"\0cblas_sgemm64_\0", b"\x7fELF" * 5 + b"\0cblas_sgemm\0"]
)
def test_a_library_without_the_symbol_or_for_another_machine_is_passed_over(tmp_path: Path, content: bytes) -> None:
    _library(tmp_path, "lib/aarch64-linux-gnu/openblas-pthread/libblas.so.3", content)
    good = _library(tmp_path, "lib/aarch64-linux-gnu/openblas-openmp/libblas.so.3")
    assert find_blas(tmp_path) == good


def test_macos_preloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _library(tmp_path, "lib64/libopenblasp.so.0")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert find_blas(tmp_path) is None


def test_the_environment_is_kept_and_the_library_comes_first() -> None:
    environment = engine_environment({"A": "b", "LD_PRELOAD": "/other.so"}, Path("/blas.so"))
    assert environment["A"] == "b"
    assert environment["LD_PRELOAD"] == "/blas.so:/other.so"
    assert int(environment["OPENBLAS_NUM_THREADS"]) >= 1


def test_a_number_of_threads_that_somebody_chose_is_kept() -> None:
    assert engine_environment({"OPENBLAS_NUM_THREADS": "7"}, Path("/blas.so"))["OPENBLAS_NUM_THREADS"] == "7"


def test_without_a_library_nothing_is_preloaded() -> None:
    assert "LD_PRELOAD" not in engine_environment({}, None)


def test_hyper_threads_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def affinity(_pid: int) -> set[int]:
        return {0, 1, 2, 3}

    monkeypatch.setattr("os.sched_getaffinity", affinity, raising=False)
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2")):
        path = tmp_path / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(siblings + "\n")
    assert physical_core_count(tmp_path) == 3
