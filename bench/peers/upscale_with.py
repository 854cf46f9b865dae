"""What a user of a peer would write to enlarge one picture: python upscale_with.py PEER MODEL IN.png OUT.png THREADS"""
import sys

import numpy as np
from PIL import Image


def pytorch(model, pixels, threads):
    import torch
    from dgpnet import DGPNet
    torch.set_num_threads(threads)
    net = DGPNet(model).eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return net(torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)).numpy()


def onnxruntime(model, pixels, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"lr": pixels})[0]


def openvino(model, pixels, threads):
    import openvino
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(model, "CPU", settings)([pixels])[0]


if __name__ == "__main__":
    peer, model, source, target, threads = sys.argv[1:]
    pixels = np.asarray(Image.open(source).convert("RGB"), dtype=np.float32) / 255
    hr = globals()[peer](model, pixels.transpose(2, 0, 1)[None], int(threads))
    hr = (hr[0].transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(hr).save(target)
