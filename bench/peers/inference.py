"""Who takes part in inference. A player is made of a Task, runs once for each call, and gives [1,3,scale H,scale W]
in float32. Making one may fail: it then stands in the table with its reason and without a time.
"""
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import environment
from dgpnet import DGPNet
from edsr import load_edsr


@dataclass
class Task:
    model: Path  # safetensors
    architecture: str  # dgpnet or edsr
    pixels: np.ndarray  # [1,3,H,W]
    threads: int
    folder: Path  # for files of the peers' own
    dgp: str  # the program

    def network(self, folded=False):
        if self.architecture == "edsr":
            return load_edsr(self.model).eval()
        return DGPNet(self.model, folded).eval()

    def onnx(self):
        """The path of the network as ONNX of fixed size, written once."""
        path = self.folder / "model.onnx"
        if not path.exists():
            with torch.no_grad():
                torch.onnx.export(self.network(), (torch.from_numpy(self.pixels),), str(path), opset_version=17,
                                  dynamo=False, input_names=["lr"], output_names=["hr"])
        return str(path)


class Player:
    counts, note = True, ""
    only = None  # the one architecture this player is for

    def result(self):
        return np.array(self.run())

    def time(self):
        start = time.perf_counter()
        self.run()
        return 1000 * (time.perf_counter() - start)

    def close(self):
        pass


class PyTorch(Player):
    """Eager. Convolutions by oneDNN in channels last; float32, as its fpmath mode says by default."""
    name, folded = "pytorch", False

    def __init__(self, task):
        torch.set_num_threads(task.threads)
        self.net = task.network(self.folded).to(memory_format=torch.channels_last)
        self.pixels = torch.from_numpy(task.pixels).contiguous(memory_format=torch.channels_last)

    def run(self):
        with torch.inference_mode():
            return self.net(self.pixels)


class Folded(PyTorch):
    name, folded, only = "pytorch-folded", True, "dgpnet"
    counts, note = False, "given dgp's folding"


class Compiled(PyTorch):
    """Frozen, so that weights are laid out for oneDNN once and activations join the convolutions."""
    name = "torch.compile"

    def __init__(self, task):
        super().__init__(task)
        import torch._inductor.config
        torch._dynamo.reset()
        torch._inductor.config.freezing = True
        self.net = torch.compile(self.net, dynamic=False)

    def run(self):
        with torch.no_grad():
            return self.net(self.pixels)


class OnnxRuntime(Player):
    name = "onnxruntime"

    def __init__(self, task):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(task.onnx(), options, providers=["CPUExecutionProvider"])
        self.pixels = task.pixels

    def run(self):
        return self.session.run(None, {"lr": self.pixels})[0]


class OpenVino(Player):
    """In float32: where the processor has AMX or bf16, OpenVINO would round to bf16 unasked."""
    name = "openvino"

    def __init__(self, task):
        import openvino
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(task.onnx()), "CPU",
                                      {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": task.threads,
                                       "INFERENCE_PRECISION_HINT": "f32"})
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(task.pixels))

    def run(self):
        self.request.infer()
        return self.request.get_output_tensor().data


class Ncnn(Player):
    """Converted by pnnx; Winograd, packed layouts and pooled memory on, 16 bits off."""
    name = "ncnn"

    def __init__(self, task):
        import ncnn
        param, weights = self.convert(task)
        self.net = ncnn.Net()
        self.blobs, self.workspace = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
        options = self.net.opt
        options.num_threads = task.threads
        options.blob_allocator, options.workspace_allocator = self.blobs, self.workspace
        options.use_winograd_convolution = options.use_sgemm_convolution = options.use_packing_layout = True
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        if self.net.load_param(str(param)) or self.net.load_model(str(weights)):
            raise RuntimeError(f"ncnn does not load {param}")
        self.pixels = ncnn.Mat(task.pixels[0]).clone()

    @staticmethod
    def convert(task):
        param, weights = task.folder / "model.ncnn.param", task.folder / "model.ncnn.bin"
        if not param.exists():
            import pnnx
            pixels = torch.from_numpy(task.pixels)
            with torch.no_grad():
                torch.jit.trace(task.network(), pixels, check_trace=False).save(str(task.folder / "model.pt"))
            shape = str(list(pixels.shape)).replace(" ", "")
            # the program itself: its Python wrapper prints a page and ignores failures
            subprocess.run([pnnx.EXEC_PATH, "model.pt", f"inputshape={shape}f32", "fp16=0"], cwd=task.folder,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return param, weights

    def run(self):
        with self.net.create_extractor() as extractor:
            extractor.input("in0", self.pixels)
            self.hr = extractor.extract("out0")[1]
            return self.hr

    def result(self):
        return np.array(self.run())[None]

    def close(self):
        self.net.clear()


class Dgp(Player):
    """dgp in a process of its own, which measures each run it is asked for."""
    name = "dgp"

    def __init__(self, task):
        np.save(task.folder / "input.npy", np.ascontiguousarray(task.pixels.transpose(0, 2, 3, 1)))
        self.file = task.folder / "output.npy"
        self.process = subprocess.Popen(
            [task.dgp, "bench", "model", str(task.model), "--interactive", "--input", str(task.folder / "input.npy"),
             "--output", str(self.file), "--threads", str(task.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment.plain())
        self.answer("ready")

    def answer(self, expected=""):
        line = self.process.stdout.readline().strip()
        if not line or not line.startswith(expected):
            raise SystemExit(f"dgp bench model ended with status {self.process.wait()}; its message is above")
        return line

    def result(self):
        return np.load(self.file).transpose(0, 3, 1, 2)

    def time(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.answer())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


PEERS = (Folded, Compiled, OnnxRuntime, OpenVino, Ncnn)  # beside PyTorch, the reference, and dgp
