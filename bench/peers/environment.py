"""The Python that the peers are installed in: made on first use, then the program goes on inside it."""
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

PACKAGES = ("numpy", "torch", "onnx", "onnxruntime", "openvino", "ncnn", "pnnx", "pillow")
MODULES = {"pillow": "PIL"}  # where the module is not called like the package
TORCH_WITHOUT_CUDA = "https://download.pytorch.org/whl/cpu"  # some 200 MB; PyPI's brings CUDA along, some 5 GB

# glibc gives large blocks back to the system after use and asks for them anew: a run of PyTorch's, which takes
# gigabytes, then spends a third of its time on page faults. With these settings the process keeps them.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


def missing(python, packages):
    """Those of `packages` that `python` does not find; looks without importing, which takes seconds."""
    modules = [MODULES.get(package, package) for package in packages]
    code = f"import importlib.util as u; print(*[m for m in {modules} if u.find_spec(m) is None])"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    return [package for package, module in zip(packages, modules) if module in found]


def reachable(url):
    try:
        urllib.request.urlopen(url, timeout=5).close()
        return True
    except OSError:
        return False


def install(venv):
    """The virtual environment's Python, with all packages."""
    python = str(venv / "bin" / "python")
    print(f"Installing {', '.join(PACKAGES)} into {venv}: some minutes, once", file=sys.stderr)
    pip = [python, "-m", "pip", "install", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        if reachable(TORCH_WITHOUT_CUDA + "/torch/"):
            subprocess.run([*pip, "--index-url", TORCH_WITHOUT_CUDA, "torch"], check=True)
        subprocess.run([*pip, *PACKAGES], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"The peers could not be installed into {venv} ({error}); pip's message is above. They come "
                         "from pypi.org: where there is no network, let PEERS_PYTHON name a Python that has "
                         f"{', '.join(PACKAGES)}.") from error
    return python


def python_with_peers(venv, packages=PACKAGES):
    """PEERS_PYTHON, or the Python of the virtual environment `venv`, which is made where it is not complete."""
    python = os.environ.get("PEERS_PYTHON")
    if python:
        try:
            lacking = missing(python, packages)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"PEERS_PYTHON={python}: expects a Python that runs; {error}") from error
        if lacking:
            raise SystemExit(f"PEERS_PYTHON={python} lacks {', '.join(lacking)}. Install with\n"
                             f"  {python} -m pip install {' '.join(lacking)}\nor unset PEERS_PYTHON.")
        return python
    venv = Path(venv).resolve()
    python = str(venv / "bin" / "python")
    if not os.path.exists(python) or missing(python, packages):
        return install(venv)
    return python


def plain():
    """The environment as the user has it, for programs that run on their own."""
    return {name: value for name, value in os.environ.items() if name not in MALLOC}


def enter(venv):
    """Runs this program again in the Python that has the peers, with memory kept between runs."""
    if os.environ.get("PEERS_INSIDE"):
        return
    python = python_with_peers(venv)
    os.environ.update(MALLOC, PEERS_INSIDE="1")
    os.execv(python, [python, *sys.argv])
