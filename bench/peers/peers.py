"""The peers: each is made of a model file and an input [1,3,H,W] and is called once for one run, giving
[1,3,scale H,scale W] in float32. Making one or its first run may fail: that peer
then stands in the table with its reason and without a time.
"""
import subprocess
import time

import numpy as np
import torch

from network import DGPNet


class PyTorch:
    name, folded = "pytorch", False

    def __init__(self, model, pixels, threads, folder):
        torch.set_num_threads(threads)
        self.net = DGPNet(model, self.folded).eval().to(memory_format=torch.channels_last)
        self.pixels = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)

    def run(self):
        with torch.inference_mode():
            return self.net(self.pixels)

    def output(self):
        return self.run().contiguous().numpy()

    def time(self):
        start = time.perf_counter()
        self.run()
        return 1000 * (time.perf_counter() - start)

    def close(self):
        pass


class Folded(PyTorch):
    """PyTorch doing the arithmetic that dgp does."""
    name, folded = "pytorch-folded", True


class Compiled(PyTorch):
    name = "torch.compile"

    def __init__(self, model, pixels, threads, folder):
        super().__init__(model, pixels, threads, folder)
        self.net = torch.compile(self.net)


class OnnxRuntime(PyTorch):
    name = "onnxruntime"

    def __init__(self, model, pixels, threads, folder):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(export(model, pixels, folder), options,
                                                    providers=["CPUExecutionProvider"])
        self.pixels = pixels

    def run(self):
        return self.session.run(None, {"lr": self.pixels})[0]

    def output(self):
        return self.run()


class OpenVino(PyTorch):
    name = "openvino"

    def __init__(self, model, pixels, threads, folder):
        import openvino
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(export(model, pixels, folder)), "CPU",
                                      {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
                                       "INFERENCE_PRECISION_HINT": "f32"})
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(pixels))

    def run(self):
        self.request.infer()
        return self.request.get_output_tensor().data

    def output(self):
        return self.run().copy()


class Dgp:
    """dgp in a process of its own, which measures each run it is asked for."""
    name = "dgp"

    def __init__(self, program, model, pixels, threads, folder):
        np.save(folder / "input.npy", np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)))
        self.result = folder / "output.npy"
        self.process = subprocess.Popen(
            [program, "bench", "model", str(model), "--interactive", "--input", str(folder / "input.npy"),
             "--output", str(self.result), "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer("ready")

    def answer(self, expected=""):
        line = self.process.stdout.readline().strip()
        if not line or not line.startswith(expected):
            raise SystemExit(f"dgp bench model ended with status {self.process.wait()}; its message is above")
        return line

    def output(self):
        return np.load(self.result).transpose(0, 3, 1, 2)

    def time(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.answer())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


PEERS = (PyTorch, Folded, Compiled, OnnxRuntime, OpenVino)


def export(model, pixels, folder):
    """The path of the network as ONNX of fixed size, written once."""
    path = folder / "model.onnx"
    if not path.exists():
        net = DGPNet(model).eval()
        with torch.no_grad():
            torch.onnx.export(net, (torch.from_numpy(pixels),), str(path), opset_version=17, dynamo=False,
                              input_names=["lr"], output_names=["hr"])
    return str(path)
