"""The Python that the peers are installed in: made on first use, then the program goes on inside it."""
import os
import subprocess
import sys
from pathlib import Path

PACKAGES = ("numpy", "torch", "onnx", "onnxruntime", "openvino")


def enter(folder):
    """Runs this program again under PEERS_PYTHON, or under the virtual environment `folder`."""
    if os.environ.get("PEERS_INSIDE"):
        return
    python = os.environ.get("PEERS_PYTHON")
    if not python:
        installed = Path(folder) / ".installed"
        python = str(Path(folder).resolve() / "bin" / "python")
        if not installed.exists():
            print(f"Installing {', '.join(PACKAGES)} into {folder}: some minutes, once", file=sys.stderr)
            if not os.path.exists(python):
                subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
            installed.touch()
    os.environ["PEERS_INSIDE"] = "1"
    os.execv(python, [python, *sys.argv])
