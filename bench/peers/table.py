"""Times into tables: medians and quartiles, ratios against the fastest peer, and what was aimed at.

A contest is a dictionary: "kind" (a key of AIMS), "what", "input" and "rows"; its row called "dgp" is measured against
the others. A row: "name", "ms" (a list, empty where there is no time), "difference" (from the reference, or None),
"note" (why there is no time, or what is special), "counts" (False: shown, but no opponent of dgp's).
"""
import statistics

AIMS = {  # kind: (aim, at least) of the fastest peer's time over dgp's
    "dgpnet": (4, 3),
    "stack": (2.5, 2.2),
    "step": (3, 2.2),
    "process": (None, None),  # for information
}
HEADER = "| what | input | program | median ms | quartiles | difference | its time / dgp's | aim; at least |"
RULE = "|---|---|---|---|---|---|---|---|"


def row(name, counts=True, note=""):
    return {"name": name, "ms": [], "difference": None, "note": note, "counts": counts}


def quartiles(times):
    """(lower quartile, median, upper quartile), interpolated between the neighbours as NumPy does."""
    ordered = sorted(times)

    def at(share):
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return at(0.25), at(0.5), at(0.75)


def fastest_peer(contest):
    """The name of the fastest opponent, and its median over dgp's; (None, None) where one of the two has no time."""
    medians = {row["name"]: statistics.median(row["ms"]) for row in contest["rows"] if row["ms"]}
    dgp = medians.get("dgp")
    opponents = [row["name"] for row in contest["rows"]
                 if row["name"] != "dgp" and row["counts"] and row["name"] in medians]
    if dgp is None or not opponents:
        return None, None
    fastest = min(opponents, key=medians.get)
    return fastest, medians[fastest] / dgp


def mark(kind, ratio):
    """What was aimed at, and which of it the ratio reaches."""
    aim, least = AIMS[kind]
    if aim is None or ratio is None:
        return ""
    reached = "aim reached" if ratio >= aim else "least reached" if ratio >= least else "below"
    return f"{aim}; {least}: {reached}"


def lines(contest):
    """The contest as rows of a Markdown table."""
    fastest, ratio = fastest_peer(contest)
    dgp = next((row["ms"] for row in contest["rows"] if row["name"] == "dgp"), [])
    result = []
    for row in contest["rows"]:
        cells = [contest["what"], contest["input"], row["name"]]
        if row["ms"]:
            lower, median, upper = quartiles(row["ms"])
            cells += [f"{median:.1f}", f"{lower:.1f} to {upper:.1f}"]
        else:
            cells += ["", row["note"]]
        cells.append("" if row["difference"] is None else f"{row['difference']:.1e}")
        if row["name"] == "dgp":
            cells += [f"**{ratio:.2f}** ({fastest})" if ratio else "", mark(contest["kind"], ratio)]
        else:
            timed = row["ms"] and dgp
            cells.append(f"{statistics.median(row['ms']) / statistics.median(dgp):.2f}" if timed else "")
            cells.append("" if row["counts"] else "not counted: " + row["note"])
        result.append("| " + " | ".join(cells) + " |")
    return result


def as_json(contest):
    fastest, ratio = fastest_peer(contest)
    rows = []
    for row in contest["rows"]:
        lower, median, upper = quartiles(row["ms"]) if row["ms"] else (None, None, None)
        rows.append(dict(row, median_ms=median, lower_ms=lower, upper_ms=upper))
    aim, least = AIMS[contest["kind"]]
    return dict(contest, rows=rows, fastest_peer=fastest, fastest_peer_over_dgp=ratio, aim=aim, at_least=least)
