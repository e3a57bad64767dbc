"""What ``skfhe report`` says of a model, as values of JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from skfhe._cli.learning import SERVER, WIRE, of_client
from skfhe.cost import (
    Cost,
    ErrorRate,
    Report,
    count_bootstraps,
    estimate_cost,
    lookup_p_error,
    machine,
)
from skfhe.program import Program

__all__ = ["described_files", "described_object"]

STEPS = "what the steps before have learnt: "


def described_object(model: Any) -> dict[str, Any]:
    """Describe what was unpickled: an estimator, whatever has some inside, or a quantized network.

    Raises
    ------
    ValueError
        If nothing of skfhe that was fitted is in it.
    """
    if hasattr(model, "quantized_forward"):
        members = [model]
    else:
        from skfhe.compose import fitted_members

        members = fitted_members(model)
    if not members:
        raise ValueError(
            f"this {type(model).__name__} has no fitted estimator of skfhe inside. If it is, or has, one, "
            "fit it, a search with refit=True; skfhe.convert(fitted, X) makes one of what others have trained"
        )
    try:
        described = [each for member in members for each in _described_member(member)]
    except Exception as error:  # whatever is missing in what another version has written
        raise ValueError(
            f"this {type(model).__name__} cannot be described ({type(error).__name__}: {error}): it was "
            "changed by hand, or written by another version of skfhe; load it with that one, or fit it again"
        ) from error
    before = _steps_before(model, members)
    if before:
        described[-1]["learns"].append(STEPS + ", ".join(before))
    return {
        "name": _name(model),
        **_where(),
        "learns": {"server": list(SERVER), "wire": list(WIRE)},
        "members": described,
    }


def _steps_before(model: Any, members: list[Any]) -> list[str]:
    """Return the classes of a pipeline's, or a search's best pipeline's, steps that the client computes."""
    steps = [step for _, step in getattr(getattr(model, "best_estimator_", model), "steps", ())]
    ours = {id(member) for member in members}
    before = [step for step in steps[:-1] if id(step) not in ours and not isinstance(step, str | None)]
    return [type(step).__name__ for step in before]


def described_files(files: Any) -> dict[str, Any]:
    """Describe what `skfhe.deployment.describe` has read."""
    found: dict[str, Any] = {
        "name": files.name or "model of a server",
        "methods": list(files.methods),
        "steps": list(files.steps),
        "files": files.file_bytes,
        "circuit_id": files.circuit_id,
        "versions": {"skfhe": files.skfhe_version, "concrete-python": files.engine_version},
        **_where(),
        "learns": {"server": list(SERVER), "wire": list(WIRE)},
    }
    lookups = None if files.program is None else bool(files.program.lookups)
    if lookups and len(files.members) > 1:
        lookups = None  # of one of them, and nobody knows of which
    client = [line for each in files.members for line in _learnt(each, lookups)]
    member: dict[str, Any] = {"name": found["name"], "compiled": True}
    if files.program is not None:
        member |= _described_program(files.program, files.error_rate)
    if files.specs is not None:
        member["batch_sizes"] = list(files.batch_sizes)
        member |= _described_specs(files.specs)
        member["learns"] = list(dict.fromkeys(client))
        if found["steps"]:
            member["learns"].append(STEPS + ", ".join(found["steps"]))
    return found | {"members": [member]}


def _name(model: Any) -> str:
    """Return the name of a model's class; of a pipeline those of its steps, of a search that of its best."""
    best = getattr(model, "best_estimator_", None)
    if best is not None:
        return f"{type(model).__name__} of {_name(best)}"
    if hasattr(model, "steps"):
        return " → ".join(_name(step) for _, step in model.steps)
    return type(model).__name__


def _where() -> dict[str, Any]:
    """Say whose seconds are told."""
    here = machine()
    if here is None:
        return {"machine": None}
    told = ("name", "processor", "cpus", "threads", "measured")
    return {"machine": {name: getattr(here, name) for name in told}}


def _described_member(model: Any) -> Iterator[dict[str, Any]]:
    """Describe each program of an estimator, or that of a quantized network."""
    name = type(model).__name__
    if hasattr(model, "quantized_forward"):
        yield _described_model(name, model._encrypted_model)
        return
    more = {} if model._mode.fhe == "disable" else {"mode": model._mode.fhe}
    names = len(getattr(model, "feature_names_in_", ()))
    labels = getattr(model, "classes_", ())
    n_labels = sum(map(len, labels)) if isinstance(labels, list) else len(labels)
    for method, each in model._encrypted_models().items():
        called = f"{name}.{method}" if method else name
        yield _described_model(called, each, n_labels=0 if method else n_labels, n_names=names) | more


def _described_model(name: str, model: Any, **named: int) -> dict[str, Any]:
    """Describe a program between its edges."""
    circuit = model.circuit
    found: dict[str, Any] = {"name": name, "compiled": circuit is not None}
    if circuit is not None:
        found["batch_sizes"] = list(circuit.batch_sizes)
    rate = circuit.error_rate if circuit is not None else ErrorRate()
    learnt = of_client(model.encoder, model.decoder, model.head, lookups=bool(model.program.lookups), **named)
    return found | _described_program(model.program, rate) | {"learns": learnt}


def _described_program(program: Program, rate: ErrorRate) -> dict[str, Any]:
    """Describe a program at an error rate."""
    cost = estimate_cost(program, rate)
    each, bootstraps = lookup_p_error(program, rate), count_bootstraps(program)
    errors = {"p_error": each, "lookups_with_rounding": bootstraps}
    if bootstraps:
        errors["row"] = -math.expm1(bootstraps * math.log1p(-each))
    else:
        errors["row"] = min(1.0, each * sum(program.values[at].type.size for at in program.outputs))
    layers = [asdict(row) for row in Report.of(program, rate).rows]
    return {
        "range_source": program.range_source,
        "accumulator_bits": program.accumulator_bits,
        "output_bits": program.output_bits,
        "error_rate": errors,
        "cost": _described_cost(cost),
        "layers": [{name: _finite(value) for name, value in layer.items()} for layer in layers],
    }


def _described_cost(cost: Cost) -> dict[str, Any]:
    told = (
        *("complexity", "seconds", "seconds_a_call", "key_seconds"),
        *("input_bytes", "output_bytes", "expanded_bytes", "key_bytes", "refusal"),
    )
    lookups = {str(bits): n for bits, n in sorted(cost.lookups.items())}
    return {"lookups": lookups, **{name: _finite(getattr(cost, name)) for name in told}}


def _described_specs(specs: Any) -> dict[str, Any]:
    """Describe what a client sends, exactly."""
    from skfhe.circuit import sent_key_bytes

    parts = specs.parts
    return {
        "sent": {
            "input_bytes": sum(sum(part.array_bytes(1, "inputs")) for part in parts),
            "output_bytes": sum(sum(part.array_bytes(1, "results")) for part in parts),
            "key_bytes": sent_key_bytes(part.parameters for part in parts),
        }
    }


def _learnt(member: Any, lookups: bool | None) -> list[str]:
    """Return what the client learns by one of the halves in its file."""
    head = getattr(member, "head", None)
    labels = getattr(head, "labels", None)
    names = getattr(getattr(member, "rows", None), "feature_names", None)
    return of_client(
        member.encoder,
        member.decoder,
        head,
        n_labels=sum(map(len, labels)) if isinstance(labels, tuple | list) else 0,
        n_names=len(names or ()),
        lookups=lookups,
    )


def _finite(value: Any) -> Any:
    """Return a value that JSON can say: null for what is infinite or NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
