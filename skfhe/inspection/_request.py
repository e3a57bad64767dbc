"""One request on two machines, as it went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skfhe.cost import readable_bytes
from skfhe.deployment import Phase, RequestRecord
from skfhe.inspection._plotting import BLUE, GREY, VERMILION, axes_for, counted, load_pyplot, styled, wrapped
from skfhe.inspection._subject import subject_of

__all__ = ["RequestDisplay"]

COLORS = {"client": BLUE, "network": GREY, "server": VERMILION}
ORDER = (
    *("encode", "keys", "ask limits", "send keys", "encrypt", "repeat", "upload", "queue", "run"),
    *("download", "decrypt", "decode"),
)


class RequestDisplay:
    """What one encrypted prediction took: when which machine did what, and what went between them.

    It is recommended to use `RequestDisplay.from_estimator`, or `RequestDisplay.from_record` of a
    ``Client.last_request``. All parameters are stored as attributes.

    Parameters
    ----------
    record : RequestRecord
    name : str, default=None
        For the title.

    Attributes
    ----------
    bars_ : dict of str to matplotlib BarContainer
        By the names of phases.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.inspection import RequestDisplay
    >>> from skfhe.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X, y)
    >>> circuit = model.compile()
    >>> display = RequestDisplay.from_estimator(model, X[:5])
    >>> display.record.n_rows
    5
    >>> plt.show()
    """

    def __init__(self, *, record: RequestRecord, name: str | None = None) -> None:
        self.record = record
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        method: str = "predict",
        warm_up: bool = True,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> RequestDisplay:
        """Predict rows encrypted, and plot how it went. Keys are generated before.

        Parameters
        ----------
        estimator : Client, estimator, Pipeline, search or QuantizedModule
            A `skfhe.deployment.Client` of a server's URL, which is asked, and which no other thread may use
            meanwhile; or what is fitted and compiled, which does the part of both machines in this process,
            so that no time passes between them.
        X : array-like
            Rows as it takes them.
        method : str, default="predict"
            What a client is asked for. Of others the integers are decrypted and decoded, whatever it is.
        warm_up : bool, default=True
            Whether to make the same request once before, so that keys were sent and code and keys are loaded
            on both sides, as they are for all but the first of many.
        name : str, default=None
            For the title; None takes that of its class.
        ax : matplotlib Axes, default=None
            None makes new ones.
        **kwargs
            For matplotlib's ``barh``.

        Returns
        -------
        RequestDisplay

        Raises
        ------
        ValueError
            If a client has no server.
        NotCompiledError
            If anything else is not compiled.
        TypeError
            If a client is an `skfhe.deployment.AsyncClient`, whose predictions are awaited.
        """
        load_pyplot(f"{cls.__name__}.from_estimator")
        if hasattr(type(estimator), "last_request"):
            if not hasattr(type(estimator), "keygen"):
                raise TypeError(
                    f"predictions of an {type(estimator).__name__} are awaited: await one, and draw it with "
                    "RequestDisplay.from_record(client.last_request)"
                )
            estimator.keygen()
            for _ in range(1 + warm_up):
                getattr(estimator, method)(X)
            record = estimator.last_request
            return cls.from_record(record, name=name or type(estimator).__name__, ax=ax, **kwargs)
        for _ in range(1 + warm_up):
            record, own_name = _in_one_process(estimator, X)
        return cls.from_record(record, name=own_name if name is None else name, ax=ax, **kwargs)

    @classmethod
    def from_record(
        cls, record: RequestRecord, *, name: str | None = None, ax: Any = None, **kwargs: Any
    ) -> RequestDisplay:
        """Plot a request that was made.

        Parameters
        ----------
        record : RequestRecord
            As a client's ``last_request`` is.
        name : str, default=None
            For the title.
        ax : matplotlib Axes, default=None
            None makes new ones.
        **kwargs
            For matplotlib's ``barh``.

        Returns
        -------
        RequestDisplay

        Raises
        ------
        TypeError
            If it is no record.
        """
        load_pyplot(f"{cls.__name__}.from_record")
        if not isinstance(record, RequestRecord):
            raise TypeError(
                f"expected a RequestRecord, got {type(record).__name__}; last_request of a client is None "
                "until a server has answered a prediction"
            )
        return cls(record=record, name=name).plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> RequestDisplay:
        """Plot a line a phase, from when it began to when it ended, in the colour of the machine.

        Parameters are those of `from_record`.

        Returns
        -------
        RequestDisplay
            This one.
        """
        from matplotlib.patches import Patch

        found = dict.fromkeys(phase.name for phase in self.record.phases)
        names = [*(each for each in ORDER if each in found), *(each for each in found if each not in ORDER)]
        ax = axes_for(ax, f"{type(self).__name__}.plot", (7.5, 1.5 + 0.33 * max(len(names), 2)))
        unit, scale = ("seconds", 1.0) if self.record.seconds >= 0.9995 else ("milliseconds", 1e3)
        self.bars_ = {}
        for row, each in enumerate(names):
            phases = [phase for phase in self.record.phases if phase.name == each]
            machine = phases[0].machine
            style = {"color": COLORS[machine], "height": 0.7, "edgecolor": COLORS[machine], "linewidth": 1.0}
            self.bars_[each] = ax.barh(
                [row] * len(phases),
                [phase.seconds * scale for phase in phases],
                left=[phase.start * scale for phase in phases],
                **styled("Patch", style, kwargs),
            )
            ax.annotate(
                self._said(each),
                (max(phase.end for phase in phases) * scale, row),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
            )
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, max(self.record.seconds * scale, 1e-9) * 1.25)
        ax.set_xlabel(unit)
        name = self.name if name is None else name
        told = f"{counted(self.record.n_rows)} in {_duration(self.record.seconds)}"
        ax.set_title(wrapped(f"{name}: {told}" if name else told), fontsize="medium", pad=26)
        machines = [m for m in COLORS if any(phase.machine == m for phase in self.record.phases)]
        ax.legend(
            handles=[Patch(color=COLORS[m], label=m) for m in machines],
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=3,
            frameon=False,
            fontsize="small",
        )
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color=GREY, alpha=0.3)
        ax.set_axisbelow(True)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _said(self, name: str) -> str:
        """Return what is said beside the bars of a phase."""
        n_bytes = self.record.bytes_of(name)
        sent = f", {readable_bytes(n_bytes)}" if n_bytes else ""
        return f"{_duration(self.record.seconds_of(name))}{sent}"


def _in_one_process(estimator: Any, X: Any) -> tuple[RequestRecord, str]:
    """Predict rows encrypted with what is compiled, and return what it took, and its name."""
    subject = subject_of(estimator)
    predictor = subject.predictor
    circuit = getattr(predictor, "fhe_circuit_", None)
    if circuit is None:
        from skfhe.exceptions import NotCompiledError

        raise NotCompiledError(
            f"a request is encrypted, and this {subject.name} is not compiled; call compile() first"
        )
    circuit.keygen()
    phases: list[Phase] = []
    began = time.perf_counter()

    @contextmanager
    def measured(name: str, machine: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        phases.append(Phase(name, machine, start - began, time.perf_counter() - start))

    with measured("encode", "client"):
        inputs = subject.integers(X)
    with measured("encrypt", "client"):
        batch = circuit.encrypt(*inputs)
    with measured("run", "server"):
        results = circuit.run(batch)
    with measured("decrypt", "client"):
        outputs = circuit.decrypt(results)
    with measured("decode", "client"):
        predictor.decoder_.decode(*outputs)
    seconds = time.perf_counter() - began
    encode, encrypt, run, decrypt, decode = phases
    sent = Phase("upload", "network", encrypt.end, 0.0, len(batch.to_bytes()))
    received = Phase("download", "network", run.end, 0.0, len(results.to_bytes()))
    record = RequestRecord((encode, encrypt, sent, run, received, decrypt, decode), len(inputs[0]), seconds)
    return record, subject.name


def _duration(seconds: float) -> str:
    if seconds == 0:
        return "no time"
    if seconds >= 0.9995:
        return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"
    return f"{seconds * 1e3:.2g} ms" if seconds < 0.0995 else f"{seconds * 1e3:.0f} ms"
