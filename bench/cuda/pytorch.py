"""PyTorch's side: channels last, cudnn.benchmark, and of each thing the fastest of eager, CUDA graph and torch.compile."""
import contextlib
import copy
import statistics
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from rows import best, result, with_memory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
WARMUP = 3


@contextlib.contextmanager
def precision(name):
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    yield DTYPES[name]


def timed(run, runs):
    """Median milliseconds by events, and the most memory at a time; None where runs take none from the allocator, as
    those of a CUDA graph, whose memory was taken when it was recorded."""
    for _ in range(WARMUP):
        run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, times = torch.cuda.memory_allocated(), []
    for _ in range(runs):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times), torch.cuda.max_memory_allocated() - before or None


def graph_of(run):
    """`run` as a CUDA graph: the launches of a run cost one."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARMUP):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def compiled(run):
    return torch.compile(run, mode="max-autotune", dynamic=False)  # CUDA graphs among it


WAYS = {"eager": lambda run: run, "CUDA graph": graph_of, "torch.compile": compiled}


def fastest(run, runs, ways):
    results = []
    for name in ways:
        try:
            torch._dynamo.reset()
            ms, bytes = timed(WAYS[name](run), runs)
            results.append(result(ms, bytes, name))
        except Exception as error:  # whatever a way raises: the others still run
            results.append(result(note=f"{name}: {type(error).__name__}"))
    return with_memory(best(results), results)


def pixels(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator)


def there(tensor, dtype):
    return tensor.to("cuda", dtype, memory_format=torch.channels_last)


def conv(shape, name, runs, ways):
    n, h, w, inputs, outputs, k = (int(part) for part in shape.split("x"))
    with precision(name) as dtype, torch.inference_mode():
        x = there(pixels(n, inputs, h, w), dtype)
        weight, bias = there(pixels(outputs, inputs, k, k) - 0.5, dtype), torch.zeros(outputs, device="cuda", dtype=dtype)
        return fastest(lambda: F.leaky_relu(F.conv2d(x, weight, bias, padding=k // 2), 0.1), runs, ways)


class Model:
    """A DGPNet of random weights, fused, as a file that dgp reads too."""

    def __init__(self, preset, folder):
        from dgpnet import DGPNet, random_model
        from weights import write_safetensors
        self.path = folder / f"{preset}.safetensors"
        write_safetensors(self.path, *random_model(preset, 1))
        self.net = DGPNet(self.path).eval()

    def run(self, lr, name, runs, ways):
        """lr [1,3,H,W] on the CPU -> the result and the picture in f32."""
        with precision(name) as dtype, torch.no_grad():
            net, x = there(copy.deepcopy(self.net), dtype), there(lr, dtype)  # a module is converted in place
            hr = net(x).float().cpu()
            return fastest(lambda: net(x), runs, ways), hr


def step(preset, batch, patch, name, runs, ways):
    """Forward, L1, backward, Adam; 16 bits by autocast, f16 with GradScaler, whose check stays on the card: fused Adam
    divides by the scale and skips a step itself."""
    from trainable import TrainableDGPNet
    with precision(name) as dtype:
        net = there(TrainableDGPNet(preset), torch.float32)
        lr, hr = (there(pixels(batch, 3, s * patch, s * patch), torch.float32) for s in (1, 4))
        adam = torch.optim.Adam(net.parameters(), lr=3e-4, betas=(0.9, 0.99), fused=True, capturable=True)
        scaler = torch.amp.GradScaler("cuda", enabled=name == "f16")

        def loss_of():
            with torch.autocast("cuda", dtype, enabled=dtype is not torch.float32):
                return F.l1_loss(net(lr).float(), hr)

        def stepper(loss):
            def run():
                adam.zero_grad(set_to_none=True)
                scaler.scale(loss()).backward()
                scaler.step(adam)
                scaler.update()
            return run

        results = []
        for way in ways:  # compiled: forward and loss; the optimiser is one kernel as it is
            loss = compiled_loss(loss_of) if way == "torch.compile" else loss_of
            found = fastest(stepper(loss), runs, ["CUDA graph" if way == "CUDA graph" else "eager"])
            results.append(found if found["ms"] is None else dict(found, note=way))
        return with_memory(best(results), results)


def compiled_loss(loss):
    torch._dynamo.reset()
    return torch.compile(loss, dynamic=False)
