import copy
import json
import pickle
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

import skfhe
from skfhe._cli import app
from skfhe._cli.describing import _described_program, described_object
from skfhe._cli.learning import CELLS, DECODERS, ENCODERS, HEADS, LINEAR, SPLITS, of_client
from skfhe._cli.report import _is_ours, _print
from skfhe._cli.terminal import console
from skfhe.cost import ErrorRate
from skfhe.deployment import describe, save
from skfhe.deployment._values import CLASSES
from skfhe.discriminant_analysis import LinearDiscriminantAnalysis
from skfhe.encoding import AnswersEncoder, DigitSums, Rule, SplitEncoder
from skfhe.linear_model import LogisticRegression
from skfhe.program import ProgramBuilder, ops
from skfhe.svm import SVC
from skfhe.tree import DecisionTreeClassifier
from tests.cost.machines import made_up


class Scaler(StandardScaler):
    """A type that nobody trusts unless it is named."""


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def told(*arguments):
    result = report(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments):
    result = report(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


@pytest.fixture(scope="module")
def tree(iris):
    return DecisionTreeClassifier(max_depth=2, random_state=0).fit(*iris)


@pytest.fixture(scope="module")
def pipe(iris):
    found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(*iris)
    skfhe.compile(found)
    return found


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    found = tmp_path_factory.mktemp("models") / "iris"
    save(pipe, found)
    return found


def test_a_saved_model_is_described_by_both_of_its_files(folder, pipe):
    found = told(folder)
    assert found["name"] == "LogisticRegression"
    assert found["steps"] == ["Scaler"]
    assert "predict_proba" in found["methods"]
    assert found["files"] == {path.name: path.stat().st_size for path in folder.iterdir()}
    (member,) = found["members"]
    model = pipe[-1]
    cost = model.cost_
    assert member["cost"]["seconds"] == cost.seconds
    assert member["cost"]["lookups"] == {}
    assert member["error_rate"]["p_error"] == 2.0**-40
    assert member["sent"]["input_bytes"] == model.fhe_circuit_.statistics["input_bytes"]
    assert member["sent"]["output_bytes"] == model.fhe_circuit_.statistics["output_bytes"]
    assert member["output_bits"] == model.output_bits_
    assert member["layers"][-1]["accumulator_bits"] == model.output_bits_[0]
    learnt = member["learns"]
    assert {LINEAR, "the 3 classes, by name", ENCODERS["GridEncoder"]} <= {*learnt}
    assert any(line.endswith("learnt: Scaler") for line in learnt)


def test_each_file_tells_what_it_has(folder):
    """A client has no program, so that costs are not known to it; a server has no names."""
    client = told(folder / "client.zip")
    assert "cost" not in client["members"][0]
    assert client["members"][0]["learns"] == told(folder)["members"][0]["learns"]
    assert "the program is in server.zip" in report(folder / "client.zip").stdout
    server = told(folder / "server.zip")
    assert server["name"] == "model of a server"
    assert server["members"][0]["cost"] == told(folder)["members"][0]["cost"]
    assert "learns" not in server["members"][0]
    assert describe(folder / "server.zip").members == ()


def test_halves_of_two_models_are_no_model(folder, tree, tmp_path):
    tree.compile()
    save(tree, tmp_path)
    (tmp_path / "client.zip").write_bytes((folder / "client.zip").read_bytes())
    assert "are of different circuits" in refused(tmp_path)


class Harmful:
    """What runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_loaded_only_if_the_call_says_so(tmp_path):
    """Whatever it is called: loading it runs the code in it."""
    for name in ("model.pkl", "model.zip", "model"):
        (tmp_path / name).write_bytes(pickle.dumps(Harmful(str(tmp_path / "ran"))))
        assert "add --pickle if you made it" in refused(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    assert "no fitted estimator of skfhe" in refused(tmp_path / "model", "--pickle")
    assert (tmp_path / "ran").exists()


def test_members_of_what_was_pickled_are_described_each(iris, tree, tmp_path):
    members = [("logistic", LogisticRegression(max_iter=200)), ("tree", DecisionTreeClassifier(max_depth=2))]
    vote = VotingClassifier(members).fit(*iris)
    (tmp_path / "vote.pkl").write_bytes(pickle.dumps(vote))
    found = told(tmp_path / "vote.pkl", "--pickle")
    assert found["name"] == "VotingClassifier"
    assert [each["name"] for each in found["members"]] == ["LogisticRegression", "DecisionTreeClassifier"]
    assert [each["compiled"] for each in found["members"]] == [False, False]
    lookups = found["members"][1]["cost"]["lookups"]
    assert lookups == {str(bits): n for bits, n in vote.estimators_[1].cost_.lookups.items()}
    assert sum(row["cost_share"] for row in found["members"][1]["layers"]) == pytest.approx(1)
    assert {SPLITS, DECODERS["LeafDecoder"]} & {*found["members"][1]["learns"]}
    assert not any(line.startswith("what its") for each in found["members"] for line in each["learns"])
    text = report(tmp_path / "vote.pkl", "--pickle").stdout
    assert "lookup reads" in text
    assert "nothing of rows, scores and predictions" in text


def test_files_of_skops_load_what_is_named(pipe, tree, tmp_path):
    """Types of skfhe, and values; what else a model is made of is asked for by name."""
    skops.io.dump(pipe, tmp_path / "pipe.skops")
    found = told(tmp_path / "pipe.skops")
    assert found["name"] == "StandardScaler → LogisticRegression"
    assert found["members"][0]["compiled"]
    assert found["members"][0]["learns"][-1].endswith("learnt: StandardScaler")
    skops.io.dump(make_pipeline(Scaler(), tree), tmp_path / "tree.skops")
    message = refused(tmp_path / "tree.skops")
    unknown = message.split("trusted by skops: ")[1].split(". Allow")[0].split(", ")
    assert f"{__name__}.Scaler" in unknown  # newer releases of skops ask about trees of scikit-learn, too
    assert "skfhe" not in {name.partition(".")[0] for name in unknown}
    trusting = [part for name in unknown for part in ("--trust", name)]
    trusted = told(tmp_path / "tree.skops", *trusting)
    assert trusted["members"][0]["cost"]["seconds"] == tree.cost_.seconds


def test_whose_seconds_they_are_is_said(folder, tmp_path, monkeypatch):
    assert told(folder)["machine"] is None
    assert "the cost table's machine" in report(folder).stdout
    (tmp_path / "machine.json").write_text(made_up(call=7.0).to_json())
    monkeypatch.setenv("SKFHE_MACHINE", str(tmp_path / "machine.json"))
    found = told(folder)
    assert found["machine"]["name"] == "made up"
    assert found["members"][0]["cost"]["seconds"] > 7
    assert "Seconds are those of made up" in report(folder).stdout


def test_what_cannot_be_compiled_is_said_to_be_so(capsys):
    """Infinite seconds are nothing that JSON can say."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 2**17 - 1), label="x")
    table = np.arange(2**17)[None] % 2
    program = builder.finish(builder.add(ops.Lookup(table, np.zeros(1, dtype=np.int64)), x, label="y"))
    found = _described_program(program, ErrorRate())
    assert found["cost"]["seconds"] is None
    assert "17 bits" in found["cost"]["refusal"]
    json.dumps(found, allow_nan=False)
    learns = {"server": [], "wire": []}
    member = found | {"name": "model", "compiled": False}
    _print(console(), {"name": "model", "machine": None, "learns": learns, "members": [member]})
    assert "cannot be compiled" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["missing", "empty", "text"])
def test_what_is_no_model_is_refused_by_name(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no model")
    assert str(tmp_path / name) in refused(tmp_path / name)


@pytest.mark.parametrize("content", [b"no zip", None], ids=["text", "zip"])
def test_what_is_no_file_of_skops_is_refused_by_name(content, tmp_path):
    path = tmp_path / "model.skops"
    if content is None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("other", "")
    else:
        path.write_bytes(content)
    assert refused(path).startswith(f"skfhe: {path} cannot be loaded: ")


def test_a_type_is_of_skfhe_if_it_was_defined_there():
    """What its modules import has their name, too."""
    assert _is_ours("skfhe.linear_model._logistic.LogisticRegression")
    assert not _is_ours("skfhe._deprecation.import_module")
    assert not _is_ours("skfhe._cli.report.Path")
    assert not _is_ours("skfhe._cli.report.report")


def test_what_another_version_has_written_is_refused_by_name(iris, tmp_path):
    """Or whoever has changed it: what is missing is no fault of the command."""
    model = LogisticRegression(max_iter=200).fit(*iris)
    model._encrypted_model = copy.copy(model._encrypted_model)
    object.__delattr__(model._encrypted_model, "decoder")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    assert "written by another version of skfhe" in refused(tmp_path / "model.pkl", "--pickle")


def test_what_is_not_fitted_is_not_called_a_stranger(tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LogisticRegression()))
    assert "fit it, a search with refit=True" in refused(tmp_path / "model.pkl", "--pickle")


def test_both_programs_of_linear_discriminants_are_described(iris, tmp_path):
    model = LinearDiscriminantAnalysis().fit(*iris)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    classes, projections = told(tmp_path / "model.pkl", "--pickle")["members"]
    assert classes["name"] == "LinearDiscriminantAnalysis"
    assert projections["name"] == "LinearDiscriminantAnalysis.transform"
    assert classes["output_bits"] == model.output_bits_
    assert projections["output_bits"] == model._projection.program.output_bits
    assert "the 3 classes, by name" in classes["learns"]
    assert not any("classes" in line for line in projections["learns"])


def test_names_are_shown_and_not_obeyed(capsys):
    """Layers have the names that a file says: no markup, and nothing that moves a cursor."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 3), label="x")
    table = ops.Lookup(np.arange(4)[None] % 2, np.zeros(1, dtype=np.int64))
    program = builder.finish(builder.add(table, x, label="[/red]\x1b[2J"))
    member = _described_program(program, ErrorRate()) | {"name": "model", "compiled": False}
    learns = {"server": ["[/x]"], "wire": []}
    _print(console(), {"name": "model", "machine": None, "learns": learns, "members": [member]})
    output = capsys.readouterr().out
    assert "[/red]?[2J" in output
    assert "- [/x]" in output


def splits():
    """Return what asks one question about one of two features."""
    of_one = np.zeros(1, dtype=np.int64)
    return SplitEncoder(2, Rule("<", "float64"), of_one, np.ones(1), np.zeros(1, dtype=bool))


def test_scores_are_called_linear_where_they_are(folder):
    """Of a program that is not there nothing is said, unless the encoder has none but linear ones."""
    assert LINEAR in of_client(splits(), None, None, lookups=False)
    for unknown in (None, True):
        assert LINEAR not in of_client(splits(), None, None, lookups=unknown)
    assert LINEAR in told(folder / "client.zip")["members"][0]["learns"]


def test_every_encoder_decoder_and_head_is_explained():
    """One that is added gets its sentence here: what a client learns by it. Some heads tell nothing."""
    for kind, table in (("Encoder", ENCODERS), ("Decoder", DECODERS), ("Head", HEADS)):
        assert {name for name, entry in CLASSES.items() if entry.kind == kind} <= {*table}
    assert np.all([len(text) > 10 for text in (*ENCODERS.values(), *DECODERS.values())])
    assert "ALL TRAINING ROWS" in HEADS["NearestVotes"]
    assert HEADS["SoftVotes"]


def test_cells_tell_what_interacts():
    digits = DigitSums(splits(), np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64), 1)
    for cells, known in ((None, False), (np.zeros((0, 4), dtype=np.int64), True)):
        assert (CELLS in of_client(AnswersEncoder(splits(), digits, cells), None, None)) is known


def test_a_model_without_lookups_has_results_and_no_accumulators(folder):
    lines = [line.split() for line in report(folder).stdout.splitlines()]
    assert ["accumulators", "none"] in lines
    assert any(line[:1] == ["results"] and line[2:] == ["bits,", "proven"] for line in lines)


@pytest.mark.filterwarnings("ignore::skfhe.exceptions.ToleranceWarning")
def test_a_client_s_half_alone_calls_no_kernel_linear(iris, tmp_path):
    """Its grids are sent bit by bit, and lookups follow: the file of the client does not say so."""
    X, y = iris
    model = SVC(kernel="rbf", kernel_bits=3).fit(X[::10], y[::10])
    (member,) = described_object(model)["members"]
    assert LINEAR not in member["learns"]
    (learnt,) = [line for line in member["learns"] if "support vector" in line]
    assert learnt == ENCODERS["GridBitsEncoder"]
    assert LINEAR not in of_client(model.encoder_, model.decoder_, model.head_)
