"""The picture at the top of README.md: one row, encrypted on one machine and evaluated on another.

``python docs/pictures/story.py --measure`` trains the model of the quickstart, serves it, asks it again and
again, keeps the fastest request in ``story.json``, and draws ``docs/_static/story.svg``. Without
``--measure`` it draws what was measured before.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FIGURES = HERE / "story.json"
PICTURE = HERE.parent / "_static" / "story.svg"
N_REQUESTS = 50
TILE = 18
"""Side of a tile of ciphertext, in bytes."""

BLUE, VERMILION, GREY, INK = "#0072B2", "#D55E00", "#7A7A7A", "#1A1A1A"
COLORS = {"client": BLUE, "network": GREY, "server": VERMILION}


def measure():
    """Return the figures of the fastest of some requests, and what the model is."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import skfhe
    from skfhe.deployment import Client, HttpTransport, save
    from skfhe.neural_network import NeuralNetClassifier

    data = load_breast_cancer()
    X, X_test, y, y_test = train_test_split(data.data, data.target, stratify=data.target, random_state=0)
    pipe = make_pipeline(StandardScaler(), NeuralNetClassifier(random_state=0)).fit(X, y)
    skfhe.compile(pipe)
    row = X_test[:1]
    with tempfile.TemporaryDirectory() as folder:
        save(pipe, f"{folder}/cancer")
        command = [sys.executable, "-m", "skfhe", "serve", f"{folder}/cancer", "--keys", f"{folder}/server"]
        server = subprocess.Popen(
            [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            port = re.search(r":(\d+)$", server.stdout.readline().strip())[1]
            transport = HttpTransport(f"http://127.0.0.1:{port}/cancer", folder=folder, timeout=600)
            with Client(transport, key_dir=f"{folder}/client") as client:
                proba = client.predict_proba(row)
                records = []
                for _ in range(N_REQUESTS):
                    client.predict_proba(row)
                    records.append(client.last_request)
                sent = client.encrypt(row)
                received = transport.run(sent)
                same = client.predict(X_test) == pipe.predict(X_test)
        finally:
            server.terminate()
            server.wait()
    record = min(records, key=lambda each: each.seconds)
    model = pipe[-1]
    shown = [0, 1, 4, 7]
    place = int(proba[0].argmax())
    return {
        "row": [[str(data.feature_names[i]), f"{row[0, i]:.4g}"] for i in shown],
        "n_features": int(row.shape[1]),
        "class": str(data.target_names[place]),
        "probability": float(proba[0, place]),
        "lookups": {str(bits): count for bits, count in model.cost_.lookups.items()},
        "accumulator_bits": model.accumulator_bits_,
        "accuracy": float(pipe.score(X_test, y_test)),
        "equal_rows": [int(same.sum()), len(same)],
        "phases": [[p.name, p.machine, p.start, p.seconds, p.n_bytes] for p in record.phases],
        "seconds": record.seconds,
        "sent": sent.to_bytes()[-TILE * TILE :].hex(),
        "received": received.to_bytes()[-TILE * TILE :].hex(),
    }


def told(seconds):
    """Return a time in words."""
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.00995 else f"{seconds * 1e3:.0f} ms"


def size(n_bytes):
    """Return a number of bytes in words."""
    return f"{n_bytes} bytes" if n_bytes < 1000 else f"{n_bytes / 1000:.0f} kB"


def panel(ax, x, y, width, height, color, title, below):
    """Draw a machine."""
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1.6",
            facecolor=(color, 0.06),
            edgecolor=color,
            linewidth=1.6,
        )
    )
    ax.text(x + 2, y + height - 2.9, title, color=color, fontsize=12.5, fontweight="bold", va="center")
    ax.text(x + 2, y + height - 5.6, below, color=INK, fontsize=8.5, va="center")


def arrow(ax, start, end, color):
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops={**style, "mutation_scale": 13})


def padlock(ax, x, y, color, is_open):
    """Draw a padlock."""
    from matplotlib.patches import Arc, FancyBboxPatch

    ax.add_patch(
        FancyBboxPatch(
            (x - 1.15, y - 1.2), 2.3, 1.8, boxstyle="round,pad=0,rounding_size=0.3", color=color, linewidth=0
        )
    )
    shift = 1.1 if is_open else 0.0
    ax.add_patch(Arc((x + shift, y + 0.6), 1.5, 2.5, theta1=0, theta2=180, color=color, linewidth=1.8))


def tile(ax, x, y, side, data):
    """Draw ciphertext as it is: bytes that look like chance."""
    ax.imshow(
        data.reshape(TILE, TILE),
        cmap="gray",
        extent=(x, x + side, y, y + side),
        zorder=2,
        interpolation="none",
    )
    ax.plot([x, x + side, x + side, x, x], [y, y, y + side, y + side, y], color=INK, linewidth=0.8, zorder=3)


def step(ax, x, y, width, height, head, below, strong=False):
    """Draw one step of the program."""
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.8",
            facecolor="white",
            edgecolor=VERMILION,
            linewidth=2.2 if strong else 1.1,
        )
    )
    ax.text(x + width / 2, y + height * 0.66, head, fontsize=9, fontweight="bold", ha="center", va="center")
    ax.text(x + width / 2, y + height * 0.27, below, fontsize=8, ha="center", va="center")


def timeline(ax, figures, x, y, width, height):
    """Draw when which machine worked, to scale."""
    scale = width / figures["seconds"]
    ax.plot([x, x + width], [y, y], color=GREY, linewidth=0.8)
    for _, machine, start, seconds, _ in figures["phases"]:
        ax.add_patch(ax_rectangle(x + start * scale, y, max(seconds * scale, 0.12), height, COLORS[machine]))
    run = next(each for each in figures["phases"] if each[0] == "run")
    middle = x + (run[2] + run[3] / 2) * scale
    ax.text(middle, y + height / 2, f"server computes {told(run[3])}", color="white", fontsize=9,
            fontweight="bold", ha="center", va="center")  # fmt: skip
    for i in range(int(figures["seconds"] * 1e3 / tick(figures)) + 1):
        at = x + i * tick(figures) / 1e3 * scale
        ax.plot([at, at], [y - 0.5, y], color=GREY, linewidth=0.8)
        ax.text(at, y - 1.5, f"{i * tick(figures):g}", fontsize=7.5, color=GREY, ha="center", va="center")
    ax.text(x + width + 1, y - 1.5, "ms", fontsize=7.5, color=GREY, va="center")


def ax_rectangle(x, y, width, height, color):
    """Return a bar of the timeline."""
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=color, edgecolor=color, linewidth=0.4)


def tick(figures):
    """Return the milliseconds between ticks of the timeline."""
    total = figures["seconds"] * 1e3
    return next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if total / each <= 9)


def draw(figures):
    """Return the picture."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "skfhe", "font.family": "DejaVu Sans"})
    figure = plt.figure(figsize=(11.0, 5.5), facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    seconds = {}
    for name, _, _, spent, _ in figures["phases"]:
        seconds[name] = seconds.get(name, 0.0) + spent
    n_bytes = {name: sent for name, _, _, _, sent in figures["phases"] if sent}
    panel(ax, 1.5, 11, 43, 42, BLUE, "Your machine", "has the rows and the secret key")
    panel(ax, 65.5, 11, 43, 42, VERMILION, "A server", "has the model, and of rows only ciphertexts")
    client_half(ax, figures, seconds)
    wire(ax, figures, n_bytes)
    server_half(ax, figures, seconds)
    timeline(ax, figures, 10, 4.6, 90, 3.0)
    ax.text(5, 6.1, "one row", fontsize=9, ha="center", va="center")
    equal, n_rows = figures["equal_rows"]
    said = (
        f"skfhe.neural_network on breast cancer, accuracy {figures['accuracy']:.3f}; {equal} of {n_rows} "
        "encrypted predictions equal those in the clear. Client and server were two processes of one machine."
    )
    ax.text(55, 1.2, said, fontsize=7.5, color=GREY, ha="center", va="center")
    ax.set_xlim(0, 110)
    ax.set_ylim(0, 55)
    ax.set_aspect("equal")
    return figure


def client_half(ax, figures, seconds):
    """Draw the row and what becomes of it."""
    for i, (name, value) in enumerate([*figures["row"], [f"… {figures['n_features'] - 4} more", ""]]):
        y = 43.2 - 2.5 * i
        ax.text(3.5, y, name, fontsize=9, va="center")
        ax.text(24, y, value, fontsize=9, va="center", ha="right", family="DejaVu Sans Mono")
    arrow(ax, (26, 38), (47, 38), BLUE)
    padlock(ax, 35, 41.4, BLUE, is_open=False)
    ax.text(35, 36.1, "encode, encrypt", fontsize=8.5, ha="center", va="center")
    ax.text(
        35,
        34.0,
        told(seconds["encode"] + seconds["encrypt"]),
        fontsize=8.5,
        ha="center",
        va="center",
        color=BLUE,
    )
    arrow(ax, (47, 20), (26, 20), BLUE)
    padlock(ax, 35, 23.4, BLUE, is_open=True)
    ax.text(35, 18.1, "decrypt", fontsize=8.5, ha="center", va="center")
    ax.text(
        35,
        16.0,
        told(seconds["decrypt"] + seconds["decode"]),
        fontsize=8.5,
        ha="center",
        va="center",
        color=BLUE,
    )
    ax.text(14, 21.3, figures["class"], fontsize=13, fontweight="bold", ha="center", va="center")
    ax.text(14, 18.4, f"probability {figures['probability']:.3f}", fontsize=9, ha="center", va="center")


def wire(ax, figures, n_bytes):
    """Draw what goes between the machines."""
    for y, data, name, way in ((33.4, "sent", "upload", "up"), (15.4, "received", "download", "down")):
        tile(ax, 50.4, y, 9.2, np.frombuffer(bytes.fromhex(figures[data]), dtype=np.uint8))
        ax.text(55, y - 1.6, f"{size(n_bytes[name])} {way}", fontsize=8.5, ha="center", va="center")
    ax.text(55, 29.0, "ciphertexts", fontsize=8.5, fontstyle="italic", ha="center", va="center", color=GREY)
    arrow(ax, (61.5, 38), (70, 38), GREY)
    arrow(ax, (70, 20), (61.5, 20), GREY)


def server_half(ax, figures, seconds):
    """Draw the program."""
    n_lookups = sum(figures["lookups"].values())
    widths = " and ".join(sorted(figures["lookups"]))
    bits = max(figures["accumulator_bits"])
    step(
        ax, 71, 35, 30, 6.2, "sums of encrypted inputs", f"accumulators of {bits} bits, proven for every row"
    )
    step(
        ax,
        71,
        26,
        30,
        6.2,
        f"{n_lookups} encrypted lookups",
        f"of {widths} bits: activation and quantizer",
        True,
    )
    step(ax, 71, 17, 30, 6.2, "sums of what was looked up", "encrypted scores")
    arrow(ax, (86, 35), (86, 32.4), VERMILION)
    arrow(ax, (86, 26), (86, 23.4), VERMILION)
    ax.text(
        86,
        13.9,
        f"computes on ciphertexts: {told(seconds['run'])}",
        fontsize=8.5,
        ha="center",
        va="center",
        color=VERMILION,
    )


def main():
    """Measure, if asked for, and draw."""
    import matplotlib

    matplotlib.use("Agg")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--png", help="a file for the picture as PNG, too")
    arguments = parser.parse_args()
    if arguments.measure:
        FIGURES.write_text(json.dumps(measure(), indent=1) + "\n", "utf-8")
    figure = draw(json.loads(FIGURES.read_text("utf-8")))
    figure.savefig(PICTURE, metadata={"Date": None})
    if arguments.png:
        figure.savefig(arguments.png, dpi=150)


if __name__ == "__main__":
    main()
