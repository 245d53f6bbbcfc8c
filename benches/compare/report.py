"""The table that README.md shows, out of the raw results."""
import re
import statistics

from session import differences
from tools import OURS, TOOLS

BEGIN, END = "<!-- compare: made by benches/compare/run --update-readme -->", "<!-- compare: end -->"
#: Above this share of the cores, other processes disturbed a step.
DISTURBED = 0.10


class Figure:
    """What a column shows: how to get it from the record of one run, and how to write it. None where there is none."""

    def __init__(self, title, get, unit, step=None, ours="vault"):
        self.title, self.get, self.unit, self.step, self.ours = title, get, unit, step, ours

    def write(self, value):
        if self.unit == "s":
            return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
        return f"{value:.3g} MB" if value < 100 else f"{value:,.0f} MB"


def step(name, key, factor=1.0):
    def get(run):
        figures = run["steps"].get(name)
        return figures[key] * factor if figures and figures["rc"] == 0 else None
    return get


def growth(run):
    before, after = run["steps"].get("unchanged"), run["steps"].get("day2")
    return (after["repo_bytes"] - before["repo_bytes"]) / 1e6 if before and after and after["rc"] == 0 else None


def right_restore(run):
    """Seconds of a restore; none when what it restored has wrong names, contents or links."""
    found = run["verified"].get("restore")
    if not found or any(found[kind] for kind in ("missing", "extra", "type", "content", "link")):
        return None
    return step("restore", "wall")(run)


def peak(run):
    """The most of any snapshot, restore or check."""
    work = [figures["rss_mb"] for name, figures in run["steps"].items() if figures["rc"] == 0 and name not in ("init", "list")]
    return max(work) if work else None


TREE = [
    Figure("first", step("first", "wall"), "s", "first"),
    Figure("CPU of it", step("first", "cpu"), "s", "first"),
    Figure("repository", step("first", "repo_bytes", 1e-6), "MB"),
    Figure("unchanged", step("unchanged", "wall"), "s", "unchanged"),
    Figure("same, key file", step("unchanged", "wall"), "s", "unchanged", "vault-key"),
    Figure("day 2", step("day2", "wall"), "s", "day2"),
    Figure("it adds", growth, "MB"),
    Figure("restore", right_restore, "s", "restore"),
    Figure("check, all read", step("check", "wall"), "s", "check"),
    Figure("peak memory", peak, "MB"),
]


def all_nights(key):
    def get(run):
        nights = [figures for name, figures in run["steps"].items() if name.startswith("night")]
        return sum(figures[key] for figures in nights) if nights and all(figures["rc"] == 0 for figures in nights) else None
    return get


def last_repo(run):
    nights = sorted(name for name in run["steps"] if name.startswith("night"))
    return step(nights[-1], "repo_bytes", 1e-6)(run) if nights else None


def restores(run):
    good = {name: run["steps"][name]["wall"] for name, found in sorted(run["verified"].items()) if not found["content"]}
    return list(good.values()) if good and len(good) == sum(name.startswith("restore") for name in run["steps"]) else None


NIGHTS = [
    Figure("all snapshots", all_nights("wall"), "s"),
    Figure("same, key file", all_nights("wall"), "s", None, "vault-key"),
    Figure("CPU of them", all_nights("cpu"), "s"),
    Figure("repository", last_repo, "MB"),
    Figure("restore of night 1", lambda run: restores(run) and restores(run)[0], "s"),
    Figure("slowest restore", lambda run: restores(run) and max(restores(run)), "s"),
    Figure("check, all read", step("check", "wall"), "s"),
    Figure("peak memory", peak, "MB"),
]


def markdown(results):
    """The section, as lines of Markdown."""
    machine = results["machine"]
    runs = results["runs"]
    rounds = max((sum(r["corpus"] == c and r["tool"] == t for r in runs) for c, t in {(r["corpus"], r["tool"]) for r in runs}), default=0)
    versions = ", ".join(f"{name} {re.search(r'[0-9]+([.][0-9]+)+|$', version)[0]}" for name, version in results["versions"].items() if name != "vault-key")
    notes = [f"{name} {tool['note']}" for name, tool in TOOLS.items() if name in results["versions"] and "note" in tool]
    text = [f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, {machine['system']}; medians of {rounds} round{'s' * (rounds != 1)}; inputs in the page cache; each tool encrypts, in a fresh repository. {versions}.{''.join(f' {note}.' for note in notes)}"]
    if results["scale"] != 1:
        text[0] += f" **Corpora scaled to {results['scale']:g} of their size: a trial, not a measurement.**"
    for name, why in results["not_installed"].items():
        text.append(f"Not installed: {name} ({why}).")
    text += ["", "Each cell: vault's figure, its ratio to the best peer's, and who that is. Bold: vault does not lead. `~`: other processes used more than "
             f"{DISTURBED:.0%} of the cores in most rounds of it.", ""]
    corpora = [name for name in results["corpora"] if name != "nights" and any(r["corpus"] == name for r in runs)]
    if corpora:
        text += table([(corpus, [r for r in runs if r["corpus"] == corpus]) for corpus in corpora], TREE, machine)
    nights = [r for r in runs if r["corpus"] == "nights"]
    if nights:
        text += ["", *table([(f"{results['nights']} nights", nights)], NIGHTS, machine)]
    wrong = sorted({(r["tool"], r["corpus"], kind) for r in runs for found in r["verified"].values() for kind in differences(found)})
    by_tool = {tool: ", ".join(f"{corpus}: {kind.replace('_', ' ')}" for t, corpus, kind in wrong if t == tool) for tool in dict.fromkeys(t for t, _, _ in wrong)}
    if any(r["verified"] for r in runs):
        text += ["", "Restores compared with their sources: " + ("; ".join(f"{tool} differs in {what}" for tool, what in by_tool.items()) + "; all others are the same." if by_tool else "all are the same.")]
    failed = sorted({(r["tool"], r["corpus"], name, str(figures["rc"])) for r in runs for name, figures in r["steps"].items() if figures["rc"] != 0})
    if failed:
        text += ["", "Failed: " + "; ".join(f"{tool}, {corpus}, {name} ({code})" for tool, corpus, name, code in failed) + "."]
    text += ["", "Corpora: " + "; ".join(f"`{name}` {about['files']:,} files, {about['bytes'] / 1e6:,.0f} MB ({about['note']})" for name, about in results["corpora"].items()) + "."]
    return text


def table(rows, figures, machine):
    out = ["| | " + " | ".join(f.title for f in figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for title, runs in rows:
        out.append(f"| {title} | " + " | ".join(cell(f, runs, machine) for f in figures) + " |")
    return out


def median(figure, runs, tool):
    values = [value for value in (figure.get(r) for r in runs if r["tool"] == tool) if value is not None]
    return statistics.median(values) if values else None


def cell(figure, runs, machine):
    own = median(figure, runs, figure.ours)
    if own is None:
        return "**failed**" if any(r["tool"] == figure.ours for r in runs) else "–"
    peers = {tool: median(figure, runs, tool) for tool in dict.fromkeys(r["tool"] for r in runs) if tool not in OURS}
    peers = {tool: value for tool, value in peers.items() if value is not None}
    if not peers:
        return figure.write(own)
    best = min(peers, key=peers.get)
    mark = "~" if disturbed(figure, runs, figure.ours, machine) or disturbed(figure, runs, best, machine) else ""
    # a growth of nothing has no ratio
    ratio = f"{own / peers[best]:.2f} {best}" if peers[best] > 0 else f"{best} {figure.write(peers[best])}"
    written = f"{mark}{figure.write(own)}, {ratio}"
    return f"**{written}**" if own > peers[best] else written


def disturbed(figure, runs, tool, machine):
    # the kernel counts in hundredths of a second: what is within a few of them is no disturbance
    shares = [s["others_cpu"] > max(0.05, s["wall"] * machine["cores"] * DISTURBED) for r in runs if r["tool"] == tool and figure.step
              for s in [r["steps"].get(figure.step)] if s and s["rc"] == 0]
    return bool(shares) and sum(shares) * 2 > len(shares)


def update(readme, lines):
    """Puts the section between its markers in the README."""
    with open(readme) as f:
        text = f.read()
    head, mark, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"{readme} has no place for the table: put these two lines where it is to stand:\n{BEGIN}\n{END}")
    with open(readme, "w") as f:
        f.write(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + tail)
