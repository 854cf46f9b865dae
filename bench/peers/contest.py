"""Values before speeds, then turns: how programs that compute the same thing are compared.

A player has "name", "counts", "note", result() (its first run), time() (milliseconds of one more run) and close().
"""
import time

import table

PAUSE = 0.05  # seconds between turns: thread pools spin for a while after a run


def enter(make, name, reference, distance, tolerance):
    """The player and its row; None for a player that gets no time, its row then says why."""
    row = table.row(name)
    try:
        player = make()
        row.update(counts=player.counts, note=player.note)
        result = player.result()
    except Exception as error:  # whatever a peer raises: the others still run
        if reference is None or name == "dgp":
            raise
        row["note"] = f"{type(error).__name__}: {(str(error).strip() or ' ').splitlines()[0]}"[:120]
        return None, row, reference
    reference = result if reference is None else reference
    row["difference"] = float(distance(result, reference))
    if not row["difference"] <= tolerance:
        row["note"] = f"differs from the reference by {row['difference']:.1e}"
        player.close()
        return None, row, reference
    return player, row, reference


def play(makers, names, distance, tolerance, rounds):
    """The rows of all players; the first is the reference for values."""
    running, rows, reference = [], [], None
    for make, name in zip(makers, names):
        player, row, reference = enter(make, name, reference, distance, tolerance)
        rows.append(row)
        if player:
            running.append((player, row))
    for index in range(rounds + 1):  # the first round warms up
        for player, row in running:
            time.sleep(PAUSE)
            elapsed = player.time()
            if index:
                row["ms"].append(elapsed)
    for player, _ in running:
        player.close()
    return rows
