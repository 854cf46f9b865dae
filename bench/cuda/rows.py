"""Rows of the comparison on one GPU and the tables made of them. Needs nothing but Python.

A row: "what", "input", "precision", "gflop" (of one run, computed directly; None: not told), "dgp" and "pytorch": each a
result, {"ms": median or None, "bytes": most memory at a time or None, "note": which way, or why there is no time}.
"""

HEADER = "| what | input | precision | dgp ms | PyTorch ms | its best | its time / dgp's | dgp, of peak | dgp MiB | PyTorch MiB |"
RULE = "|---|---|---|---|---|---|---|---|---|---|"


def result(ms=None, bytes=None, note=""):
    return {"ms": ms, "bytes": bytes, "note": note}


def best(results):
    """The fastest of several ways to run one thing; where none has a time, why not."""
    timed = [r for r in results if r["ms"] is not None]
    if timed:
        return min(timed, key=lambda r: r["ms"])
    return result(note="; ".join(r["note"] for r in results if r["note"]) or "not run")


def with_memory(fastest, results):
    """Where the fastest way's memory is not known, that of the first way for which it is: eager, which holds the same
    tensors as its graph."""
    known = [r["bytes"] for r in results if r["bytes"] is not None]
    return dict(fastest, bytes=known[0]) if fastest["ms"] is not None and fastest["bytes"] is None and known else fastest


def cell(value, form):
    return "" if value is None else form.format(value)


def mib(bytes):
    return None if bytes is None else bytes / 2**20


def line(row, peak_gflops):
    dgp, peer = row["dgp"], row["pytorch"]
    both = dgp["ms"] is not None and peer["ms"] is not None
    share = row["gflop"] * 1e3 / dgp["ms"] / peak_gflops if row["gflop"] and dgp["ms"] and peak_gflops else None
    cells = [row["what"], row["input"], row["precision"],
             cell(dgp["ms"], "{:.3f}") or dgp["note"], cell(peer["ms"], "{:.3f}"), peer["note"],
             cell(peer["ms"] / dgp["ms"] if both else None, "**{:.2f}**"), cell(share, "{:.2f}"),
             cell(mib(dgp["bytes"]), "{:.0f}"), cell(mib(peer["bytes"]), "{:.0f}")]
    return "| " + " | ".join(cells) + " |"


def table(rows, machine, peak_gflops, bandwidth_gbs):
    """Markdown. Of peak: multiply-adds as if every convolution were computed directly, against the FMA peak in f32 that
    the same run measured, so that folding, Winograd or tensor cores may pass 1."""
    title = f"{machine}: FMA peak {peak_gflops:.0f} GFLOP/s in f32, memory {bandwidth_gbs:.0f} GB/s, both measured"
    if machine.startswith("emulated"):
        title += ". No GPU: these times mean nothing"
    return "\n".join([title, "", HEADER, RULE, *(line(row, peak_gflops) for row in rows)])
