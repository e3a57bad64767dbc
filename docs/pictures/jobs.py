"""The tables and pictures of docs/jobs.md, of what ``python -m benchmarks.jobs`` has kept.

``python docs/pictures/jobs.py`` writes the tables between the marks of the page, and draws
``docs/_static/jobs.svg``. A job that was not run is in neither.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "results"
PAGE = HERE.parent / "jobs.md"
PICTURE = HERE.parent / "_static" / "jobs.svg"
ORDER = ("cancer", "attrition", "mortgage", "credit", "churn", "survival", "insurance", "mnist")
MEASURES = {"roc_auc": "AUC", "accuracy": "accuracy"}
N_COLUMNS = 2


def load():
    """Return what is kept of each job, in order."""
    found = [json.loads(path.read_text("utf-8")) for path in RESULTS.glob("jobs-*.json")]
    whole = [each for each in found if {"data", "float", "ours"} <= set(each)]
    return sorted(whole, key=lambda each: ORDER.index(each["job"]))


def told(score):
    """Return a score as the tables tell it."""
    return f"{score:.3f}".lstrip("0")


def duration(seconds):
    """Return seconds to two digits."""
    return (
        f"{seconds * 1e3:.2g}\N{NO-BREAK SPACE}ms"
        if seconds < 0.0995
        else f"{seconds:.2g}\N{NO-BREAK SPACE}s"
    )


def operations(count):
    """Return a number of elementary operations in millions."""
    return f"{count / 1e6:,.0f} M" if count >= 1e6 else "< 1 M"


def size(n_bytes):
    """Return a number of bytes in words."""
    from skfhe.cost import readable_bytes

    return readable_bytes(n_bytes) if n_bytes else "none"


def table(head, rows):
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def scores(jobs):
    """Return the table of scores: in the clear, by budget, and the peer's."""
    budgets = sorted({each["budget"] for job in jobs for each in job["ours"]["budgets"]})
    head = ["job", "rows × features", "in the clear"]
    head += [f"≤ {duration(budget)}" for budget in budgets] + ["Concrete ML"]
    rows = []
    for job in jobs:
        data, row = job["data"], {each["budget"]: each for each in job["ours"]["budgets"]}
        line = [f"**{job['job']}**", f"{data['rows']:,} × {data['features']}", told(job["float"]["score"])]
        shown = None
        for budget in budgets:
            each = row.get(budget)
            if each is None or each["model"] is None:
                line.append("")
            elif shown == (each["model"], each["params"]):
                line.append("same")
            else:
                shown = (each["model"], each["params"])
                line.append(f"{told(each['score'])} ({duration(each['seconds'])})")
        peer_scores = [each["score"] for each in job.get("peer", []) if "score" in each]
        rows.append([*line, told(max(peer_scores)) if peer_scores else "not run"])
    return table(head, rows).replace("≤ ", "≤\N{NO-BREAK SPACE}")


def models(job):
    """Return the models of a job's budgets, each once."""
    found = {}
    for each in job["ours"]["budgets"]:
        if each["model"] is not None:
            found.setdefault((each["model"], str(each["params"])), each)
    return list(found.values())


def called(model):
    """Return a model's family and what was chosen of it, in words."""
    params = model["params"]
    if model["model"] == "boosting":
        return f"boosting, {params['max_iter']} trees of depth {params['max_depth']}"
    if "n_components" in params:
        return f"{params['n_components']:,} random features"
    return ", ".join([model["model"], *(f"`{name}={value}`" for name, value in params.items())])


def gain(model, before):
    """Return by how much a model scores more than the one before, and the standard error of that.

    It is that of a paired difference over the folds, its variance corrected for training sets that overlap
    (Nadeau and Bengio, 2003).
    """
    if before is None:
        return ""
    differences = np.subtract(model["folds"], before["folds"])
    n = len(differences)
    error = np.sqrt((1 / n + 1 / (n - 1)) * differences.var(ddof=1))
    return f"+{told(differences.mean())} ± {told(error)}"


def prices(jobs):
    """Return the table of what is sent, and of how many encrypted rows were the clear ones."""
    head = ["job", "model", "score", "gain", "a row: predicted, measured", "lookups", "up, down", "keys"]
    head += ["equal"]
    rows = []
    for job in jobs:
        own = models(job)
        for each, before in zip(own, [None, *own], strict=False):
            lookups = ", ".join(f"{count} × {bits} bits" for bits, count in each["lookups"].items())
            equal = f"{each['equal_rows']} of {each['checked_rows']}" if "checked_rows" in each else "not run"
            line = [job["job"], called(each), told(each["score"]), gain(each, before)]
            line.append(f"{duration(each['seconds'])}, {measured(job, each)}")
            sent = f"{size(each['input_bytes'])}, {size(each['output_bytes'])}"
            rows.append([*line, lookups or "none", sent, size(each["key_bytes"]), equal])
    return table(head, rows)


def measured(job, model):
    """Return how long an encrypted row took."""
    wanted = model["model"], model["params"]
    taken = [each["seconds"] for each in job.get("timed", []) if (each["model"], each["params"]) == wanted]
    return duration(taken[0]) if taken else "not timed"


def counted(lookups, key_bytes):
    """Return lookups and what their keys take, in words."""
    return f"{lookups:,}, keys {size(key_bytes)}" if lookups else "none"


def peers(jobs):
    """Return the table of the peer's models beside the cheapest of ours that scores as much, if one does."""
    head = ["job", "Concrete ML", "score", "lookups", "skfhe, as good or its best", "score", "lookups"]
    head += ["complexity, Concrete ML / skfhe"]
    rows = []
    for job in jobs:
        for each in job.get("peer", []):
            if "score" not in each:
                continue
            name = f"`{each['model']}`, {each['bits']} bits"
            refused = "refused" in each
            theirs = "does not compile" if refused else counted(each["lookups"], each["key_bytes"])
            ours = models(job)
            enough = [own for own in ours if told(own["score"]) >= told(each["score"])]
            own = enough[0] if enough else max(ours, key=lambda own: own["score"])
            line = [job["job"], name, told(each["score"]), theirs, called(own), told(own["score"])]
            counts = ["", own["complexity"]] if refused else [each["complexity"], own["complexity"]]
            shown = [operations(count) if count != "" else "–" for count in counts]
            lookups = counted(sum(own["lookups"].values()), own["key_bytes"])
            rows.append([*line, lookups, " / ".join(shown)])
    return table(head, rows)


TABLES = {"scores": scores, "prices": prices, "peers": peers}


def filled(text, jobs):
    """Return the page with its tables."""
    for name, made in TABLES.items():
        mark = rf"(<!-- {name}, by docs/pictures/jobs.py -->\n).*?(<!-- end -->)"
        text = re.sub(mark, lambda found, made=made: f"{found[1]}\n{made(jobs)}\n\n{found[2]}", text,
                      flags=re.DOTALL)  # fmt: skip
    return text


def draw(jobs):
    """Return a figure with a panel for each job: score against seconds, and what is reached in the clear."""
    import matplotlib.pyplot as plt
    from matplotlib.markers import MarkerStyle
    from matplotlib.ticker import NullFormatter

    from skfhe.inspection import ParetoDisplay

    n_rows = -(-len(jobs) // N_COLUMNS)
    figure, axes = plt.subplots(
        n_rows, N_COLUMNS, figsize=(9, 2.9 * n_rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat[len(jobs) :]:
        ax.set_visible(False)
    handles = {}
    for ax, job in zip(axes.flat, jobs, strict=False):
        tried, best = job["ours"]["candidates"], job["float"]
        kept = [at for at, why in enumerate(tried["stopped"]) if why != "over budget"]
        places = {at: place for place, at in enumerate(kept)}
        display = ParetoDisplay(
            seconds=np.array(tried["seconds"])[kept],
            score=np.array(tried["score"])[kept],
            front=np.array([places[at] for at in job["ours"]["front"]]),
            names=[tried["names"][at] for at in kept],
            stopped=[tried["stopped"][at] for at in kept],
            score_name=MEASURES[job["data"]["scoring"]],
        )
        display.plot(ax)
        ax.xaxis.set_minor_formatter(NullFormatter())
        if "random features" in display.names:
            points = display.points_[list(dict.fromkeys(display.names)).index("random features")]
            diamond = MarkerStyle("D")
            points.set_paths([diamond.get_path().transformed(diamond.get_transform())])
            points.set_color("#CC79A7")
        line = ax.axhline(
            best["score"], color="black", linestyle=":", linewidth=1.2, label="best in the clear"
        )
        ax.set_title(f"{job['job']}: {job['data']['question']}", fontsize=10)
        ax.legend()
        handles |= {handle.get_label(): handle for handle in ax.get_legend().legend_handles}
        handles[line.get_label()] = line
        ax.get_legend().remove()
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles), fontsize=9)
    return figure


def main():
    """Fill the page and draw."""
    import matplotlib

    matplotlib.use("Agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--png", help="a file for the picture as PNG, too")
    arguments = parser.parse_args()
    jobs = load()
    PAGE.write_text(filled(PAGE.read_text("utf-8"), jobs), "utf-8")
    figure = draw(jobs)
    matplotlib.rcParams["svg.hashsalt"] = "jobs"
    figure.savefig(PICTURE, metadata={"Date": None})
    if arguments.png:
        figure.savefig(arguments.png, dpi=110)


if __name__ == "__main__":
    main()
