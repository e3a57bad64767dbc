"""What ``skfhe report`` says of a model, as values of JSON."""

from __future__ import annotations

import math
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
            f"this {type(model).__name__} has no fitted estimator of skfhe inside; skfhe.convert(fitted, X) "
            "makes one of what other libraries have trained"
        )
    return {
        "name": _name(model),
        **_where(),
        "learns": {"server": list(SERVER), "wire": list(WIRE)},
        "members": [_described_member(each) for each in members],
    }


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
    lookups = files.program is not None and bool(files.program.lookups) and len(files.members) == 1
    client = [line for each in files.members for line in _learnt(each, lookups)]
    member: dict[str, Any] = {"name": found["name"], "compiled": True}
    if files.program is not None:
        member |= _described_program(files.program, files.error_rate)
    if files.specs is not None:
        member["batch_sizes"] = list(files.batch_sizes)
        member |= _described_specs(files.specs)
        member["learns"] = list(dict.fromkeys(client))
        if found["steps"]:
            member["learns"].append("what the steps before have learnt: " + ", ".join(found["steps"]))
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


def _described_member(model: Any) -> dict[str, Any]:
    """Describe an estimator, or a quantized network."""
    circuit = getattr(model, "fhe_circuit_", None)
    rate = circuit.error_rate if circuit is not None else ErrorRate()
    found = {"name": type(model).__name__, "compiled": circuit is not None}
    mode = getattr(model, "_mode", None)
    if mode is not None and mode.fhe != "disable":
        found["mode"] = mode.fhe
    if circuit is not None:
        found["batch_sizes"] = list(circuit.batch_sizes)
    labels = getattr(model, "classes_", None)
    head = None if hasattr(model, "quantized_forward") else model.head_
    n_labels, lookups = None if labels is None else len(labels), bool(model.program_.lookups)
    learnt = of_client(model.encoder_, model.decoder_, head, n_labels, lookups)
    return found | _described_program(model.program_, rate) | {"learns": learnt}


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


def _learnt(member: Any, lookups: bool) -> list[str]:
    """Return what the client learns by one of the halves in its file."""
    head = getattr(member, "head", None)
    labels = getattr(head, "labels", None)
    n_labels = sum(map(len, labels)) if isinstance(labels, tuple | list) else None
    return of_client(member.encoder, member.decoder, head, n_labels, lookups)


def _finite(value: Any) -> Any:
    """Return a value that JSON can say: null for what is infinite or NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
