"""A client gives what the model gives in its own process, and gives away nothing that is secret."""

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris

from skfhe import compile_torch_model
from skfhe.circuit import Batch, ClientSession, EvaluationKeys, check_security
from skfhe.deployment import Client, Server, save
from skfhe.deployment._client_model import ClientModel
from skfhe.exceptions import CiphertextMismatchError, KeysExpiredError
from skfhe.linear_model import LogisticRegression, Ridge
from skfhe.tree import DecisionTreeClassifier
from tests.circuit.test_host import environment
from tests.circuit.test_secret_keys import BLOCKED, secrets_of

X, CODES = load_iris(return_X_y=True)
Y = np.array(["setosa", "versicolor", "virginica"])[CODES]
ROWS = X[::20]


class InProcess:
    """A server that is reached by calls, to which nothing but bytes is given."""

    def __init__(self, folder, most=None):
        self.file = (folder / "client.zip").read_bytes()
        self.server = Server(folder / "server.zip")
        self.most = most
        self.sent, self.keys, self.n_rows = [], {}, []

    def client_file(self):
        return self.file

    def send_keys(self, keys):
        if str(keys.id) not in self.keys:
            self.sent.append(keys.to_bytes())
            self.keys[str(keys.id)] = EvaluationKeys.from_bytes(self.sent[-1])

    def most_rows(self):
        return self.most

    def run(self, batch):
        self.sent.append(batch.to_bytes())
        self.n_rows.append(len(batch))
        given = Batch.from_bytes(self.sent[-1])
        return Batch.from_bytes(self.server.run(given, self.keys[str(given.key_id)]).to_bytes())


def saved(model, folder, y=Y):
    model.fit(X, y).compile()
    save(model, folder)
    return model, folder


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    return saved(LogisticRegression(max_iter=200), tmp_path_factory.mktemp("linear"))


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """Another model, whose classes are in another order: its circuit needs keys of the same parameters."""
    order = {"setosa": "z", "versicolor": "y", "virginica": "x"}
    names = np.array([order[name] for name in Y])
    return saved(LogisticRegression(max_iter=200), tmp_path_factory.mktemp("mirrored"), names)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return saved(DecisionTreeClassifier(max_depth=2, random_state=0), tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module", params=["linear", "tree"])
def either(request):
    return request.getfixturevalue(request.param)


def asked(client, folder, *rows):
    """Return the result of rows, in bytes, from a server that gets bytes."""
    return Server(folder / "server.zip").run(
        Batch.from_bytes(client.encrypt(*rows or (ROWS,)).to_bytes()),
        EvaluationKeys.from_bytes(client.evaluation_keys().to_bytes()),
    )


def test_a_client_decrypts_what_the_model_predicts(either, tmp_path):
    """To the bit, in every method; without one what ``predict_proba`` returns."""
    model, folder = either
    client = Client(folder / "client.zip", key_dir=tmp_path / "keys")
    result = asked(client, folder)
    for given in (result, result.to_bytes()):
        for method in client.methods:
            np.testing.assert_array_equal(client.decrypt(given, method), getattr(model, method)(ROWS))
    np.testing.assert_array_equal(client.decrypt(result), model.predict_proba(ROWS))
    assert {"predict", "predict_proba"} <= set(client.methods)


@pytest.mark.parametrize("kind", [list, pd.DataFrame, np.asarray, lambda rows: rows.astype(np.float32)])
def test_rows_are_taken_as_in_process(linear, kind):
    model, folder = linear
    client = Client(folder, key_dir=None)
    found = client.decrypt(asked(client, folder, kind(ROWS)), "predict")
    np.testing.assert_array_equal(found, model.predict(kind(ROWS)))


def test_scores_are_of_the_precision_of_rows_that_are_told(tmp_path):
    """Ridge predicts in single precision for rows of single precision, as scikit-learn's does."""
    model, folder = saved(Ridge(), tmp_path, CODES)
    client, rows = Client(folder), ROWS.astype(np.float32)
    result, expected = asked(client, folder, rows), model.predict(rows)
    told, untold = client.decrypt(result, X=rows), client.decrypt(result)
    assert (told.dtype, untold.dtype) == (expected.dtype, np.float64)
    np.testing.assert_array_equal(told, expected)
    np.testing.assert_array_equal(untold.astype(expected.dtype), expected)


def two_inputs(tmp_path):
    """Save a network of two inputs and two outputs that adds and subtracts, and return module and folder."""

    class Net(torch.nn.Module):
        def forward(self, a, b):
            return a + b, a - b

    rng = np.random.default_rng(0)
    inputset = rng.normal(size=(2, 50, 3))
    module = compile_torch_model(Net(), tuple(inputset), n_bits=4)
    save(module, tmp_path)
    return module, tuple(inputset)


def test_a_network_takes_an_array_for_each_input(tmp_path):
    module, (a, b) = two_inputs(tmp_path)
    client = Client(InProcess(tmp_path, most=4))
    assert client.methods == ("forward",)
    assert not hasattr(client, "predict")
    expected = module.forward(a[:6], b[:6], fhe="disable")
    result = asked(client, tmp_path, a[:6], b[:6])
    for found in (client.forward(a[:6], b[:6]), client.decrypt(result)):
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_with_a_server_a_client_predicts(either):
    """In batches that the server takes; keys are sent once."""
    model, folder = either
    transport = InProcess(folder, most=8)
    with Client(transport) as client:
        rows = np.concatenate([ROWS, ROWS[::-1], ROWS[:1]])
        for method in client.methods:
            np.testing.assert_array_equal(getattr(client, method)(rows), getattr(model, method)(rows))
    assert transport.n_rows == [8, 8, 1] * len(client.methods)
    assert len(transport.sent) == 1 + len(transport.n_rows)


def test_methods_are_those_of_the_model(linear, tmp_path):
    """As in scikit-learn: what the model does not answer the client does not have."""
    _, folder = linear
    client = Client(folder)
    assert set(client.methods) == {"predict", "predict_proba", "predict_log_proba", "decision_function"}
    assert not hasattr(client, "forward")
    regressor = Client(saved(Ridge(), tmp_path, CODES)[1])
    assert regressor.methods == ("predict",)
    with pytest.raises(AttributeError, match="this model has no predict_proba; it answers predict"):
        regressor.predict_proba(ROWS)
    with pytest.raises(AttributeError, match="offers predict"):
        regressor.decrypt(asked(regressor, tmp_path), "predict_proba")


def test_without_a_server_it_says_what_to_do(linear):
    client = Client(linear[1])
    for method in client.methods:
        with pytest.raises(ValueError, match=rf'{method} needs a server.*Client\("http://.*encrypt.*decrypt'):
            getattr(client, method)(ROWS)


def test_what_it_knows_of_rows_and_sizes(linear):
    _, folder = linear
    client = Client(folder)
    assert client.n_features_in_ == 4
    with pytest.raises(AttributeError, match="feature_names_in_"):
        client.feature_names_in_  # noqa: B018
    sizes = client.sizes
    assert sizes["input_bytes"] == 4 * 8
    batch = client.encrypt(ROWS)
    assert 0 < len(batch.to_bytes()) - len(ROWS) * sizes["input_bytes"] < 1000
    assert sizes["key_bytes"] == len(client.evaluation_keys().to_bytes())
    result = asked(client, folder).to_bytes()
    assert abs(len(result) - len(ROWS) * sizes["output_bytes"]) < 1500


def test_keys_in_memory_are_made_once_and_are_gone_with_the_client(linear):
    client = Client(linear[1])
    assert client.key_id is None
    id = client.keygen()
    assert (
        client.keygen() == client.key_id == id == client.evaluation_keys().id == client.encrypt(ROWS).key_id
    )
    assert Client(linear[1]).key_id is None
    for use in (client.list_keys, lambda: client.delete_keys(id)):
        with pytest.raises(ValueError, match="keeps its keys in memory; give it a key_dir="):
            use()


def test_keys_in_a_folder_are_found_by_the_next_client(tree, tmp_path):
    model, folder = tree
    first = Client(folder, key_dir=tmp_path / "keys")
    assert first.key_id is None
    result = asked(first, folder)
    second = Client(folder, key_dir=tmp_path / "keys")
    assert second.key_id == first.key_id
    np.testing.assert_array_equal(second.decrypt(result, "predict"), model.predict(ROWS))
    assert second.evaluation_keys().to_bytes() == first.evaluation_keys().to_bytes()


def test_models_of_equal_parameters_share_a_key_set(linear, mirrored, tree, tmp_path):
    """The server needs one upload for both; a model of other parameters has keys of its own."""
    clients = [Client(folder, key_dir=tmp_path) for _, folder in (linear, mirrored, tree)]
    ids = [client.keygen() for client in clients]
    assert ids[0] == ids[1] != ids[2]
    for client, (model, folder) in zip(clients, (linear, mirrored, tree), strict=True):
        np.testing.assert_array_equal(client.decrypt(asked(client, folder), "predict"), model.predict(ROWS))
    with pytest.raises(CiphertextMismatchError, match="of another circuit"):
        clients[1].decrypt(asked(clients[0], linear[1]))
    assert [len(client.list_keys()) for client in clients] == [1, 1, 1]


@pytest.mark.parametrize("in_files", [True, False])
def test_after_a_rotation_old_results_are_still_decrypted(linear, tmp_path, in_files):
    model, folder = linear
    client = Client(folder, key_dir=tmp_path if in_files else None)
    old, result = client.keygen(), asked(client, folder)
    new = client.rotate_keys()
    assert new == client.key_id == client.encrypt(ROWS).key_id != old
    np.testing.assert_array_equal(client.decrypt(result, "predict"), model.predict(ROWS))
    np.testing.assert_array_equal(client.decrypt(asked(client, folder), "predict"), model.predict(ROWS))
    with pytest.raises(CiphertextMismatchError, match="other keys"):
        Server(folder / "server.zip").run(
            Batch.from_bytes(client.encrypt(ROWS).to_bytes()), _sent(result, client)
        )


def _sent(result, client):
    """Return the evaluation keys that a result was made under."""
    return client._keys.session_for(str(result.key_id)).evaluation_keys


def test_old_keys_are_read_from_their_file_until_it_is_deleted(linear, tmp_path):
    model, folder = linear
    first = Client(folder, key_dir=tmp_path)
    old, result = first.keygen(), asked(first, folder)
    new = first.keygen(force=True)
    assert [each.id for each in first.list_keys()] == [new, old]
    np.testing.assert_array_equal(
        Client(folder, key_dir=tmp_path).decrypt(result, "predict"), model.predict(ROWS)
    )
    first.delete_keys(old)
    for client in (first, Client(folder, key_dir=tmp_path)):
        assert client.key_id == new
        with pytest.raises(CiphertextMismatchError, match=f"the keys {old}, which are not in {tmp_path}"):
            client.decrypt(result)
        with pytest.raises(ValueError, match=f"no keys '{old}' in"):
            client.delete_keys(old)
    first.delete_keys(new)
    assert first.key_id is None
    assert first.keygen() not in (old, new)


def test_results_of_others_are_refused(linear, tree, tmp_path):
    client, other = Client(linear[1], key_dir=tmp_path / "one"), Client(linear[1], key_dir=tmp_path / "other")
    with pytest.raises(CiphertextMismatchError, match="which are not in"):
        client.decrypt(asked(other, linear[1]))
    with pytest.raises(CiphertextMismatchError, match="of another circuit"):
        client.decrypt(asked(Client(tree[1]), tree[1]))
    with pytest.raises(CiphertextMismatchError, match="expected encrypted results, got inputs"):
        client.decrypt(client.encrypt(ROWS))
    for wrong in (None, "result", ROWS):
        with pytest.raises(TypeError, match="expected a Batch"):
            client.decrypt(wrong)
    with pytest.raises(ValueError, match="a batch of ciphertexts"):
        client.decrypt(client.evaluation_keys().to_bytes())
    hostile = replace(asked(client, linear[1]), key_id="../../etc/passwd")
    with pytest.raises(CiphertextMismatchError, match="which are not in"):
        client.decrypt(hostile)


def test_a_passphrase_is_needed_again(linear, tmp_path):
    _, folder = linear
    id = Client(folder, key_dir=tmp_path, passphrase="correct horse").keygen()
    assert Client(folder, key_dir=tmp_path, passphrase="correct horse").keygen() == id
    for passphrase, message in (("wrong", "passphrase is another one"), (None, "none was given")):
        client = Client(folder, key_dir=tmp_path, passphrase=passphrase)
        for use in (client.keygen, lambda client=client: client.encrypt(ROWS), client.evaluation_keys):
            with pytest.raises(ValueError, match=message):
                use()
    with pytest.raises(ValueError, match="needs key_dir="):
        Client(folder, passphrase="correct horse")


def test_nothing_is_encrypted_under_expired_keys(linear, tmp_path, monkeypatch):
    """Results that come late are still decrypted, and new keys are made when they are asked for."""
    model, folder = linear
    client = Client(folder, key_dir=tmp_path, key_lifetime=timedelta(days=30))
    old, result = client.keygen(), asked(client, folder)

    class Later(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(UTC) + timedelta(days=31)

    monkeypatch.setattr("skfhe.circuit._secret_keys.datetime", Later)
    for late in (client, Client(folder, key_dir=tmp_path)):
        with pytest.raises(KeysExpiredError, match=rf"{old} have expired on 2.*rotate_keys\(\)"):
            late.encrypt(ROWS)
        np.testing.assert_array_equal(late.decrypt(result, "predict"), model.predict(ROWS))
    monkeypatch.undo()
    assert client.rotate_keys() != old
    client.encrypt(ROWS)
    for wrong in (timedelta(0), timedelta(-1)):
        with pytest.raises(ValueError, match="key_lifetime= is a time above zero"):
            Client(folder, key_lifetime=wrong)


def test_rows_that_the_model_does_not_take_are_refused_before_keys_are_made(linear, tmp_path):
    client = Client(linear[1], key_dir=tmp_path / "keys")
    with pytest.raises(ValueError, match="features"):
        client.encrypt(ROWS[:, :3])
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("in_files", [True, False])
def test_first_use_by_many_threads_makes_one_key_set(tree, tmp_path, in_files):
    """And all of their batches are decrypted, by whichever thread."""
    model, folder = tree
    client = Client(InProcess(folder), key_dir=tmp_path / "keys" if in_files else None)
    client._transport.server.compiled  # noqa: B018  compiled once
    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(lambda i: client.encrypt(np.roll(ROWS, i, axis=0)), range(8)))
        client._transport.send_keys(client.evaluation_keys())
        results = [client._transport.run(batch) for batch in batches]
        found = list(threads.map(lambda result: client.decrypt(result, "predict"), results))
    assert len({str(batch.key_id) for batch in batches}) == 1
    assert len({batch.seed for batch in batches}) == 8
    for i, predicted in enumerate(found):
        np.testing.assert_array_equal(predicted, model.predict(np.roll(ROWS, i, axis=0)))


def test_nothing_that_a_client_gives_away_holds_a_secret_key(either, tmp_path, caplog, capfd):
    """The search finds one where it is: in the file that its owner keeps."""
    _, folder = either
    transport = InProcess(folder)
    client = Client(transport, key_dir=tmp_path)
    client.predict(ROWS)
    client.rotate_keys()
    client.predict(ROWS)
    given = [*transport.sent, pickle.dumps(client.evaluation_keys()), pickle.dumps(client.encrypt(ROWS))]
    given += [repr(each).encode() for each in (client, client._keys, client.list_keys(), client.sizes)]
    given += [caplog.text.encode(), "".join(capfd.readouterr()).encode()]
    given += [path.read_bytes() for path in tmp_path.glob("*.evaluation")]
    secrets = [form for each in client.list_keys() for form in secrets_of(client._keys.files.read(each.id))]
    assert len(secrets) >= 8
    assert not any(form in each for form in secrets for each in given)
    kept = [path.read_bytes() for path in tmp_path.glob("*.secret")]
    assert all(any(form in each for form in secrets) for each in kept)
    for each in kept:
        for refuses in (
            EvaluationKeys.from_bytes,
            lambda data: transport.server.run(transport.sent[-1], data),
        ):
            with pytest.raises(ValueError, match="these are secret keys"):
                refuses(each)


def test_clients_are_not_pickled(linear):
    with pytest.raises(TypeError, match="a client has secret keys, and is not pickled"):
        pickle.dumps(Client(linear[1]))


FRESH = """
from skfhe.deployment import Client
folder, keys, rows, passphrase = pickle.load(sys.stdin.buffer)
client = Client(folder / "client.zip", key_dir=keys, passphrase=passphrase)
sys.stdout.buffer.write(pickle.dumps(client.encrypt(rows).to_bytes()))
sys.stdout.buffer.flush()
found = client.decrypt(pickle.load(sys.stdin.buffer))
heavy = ("torch", "sklearn", "scipy", "pandas", "concrete", "mlir", "httpx", "skfhe.passes", "skfhe.cost")
loaded = [name for name in heavy if name in sys.modules]
with open("/proc/self/status") as status:  # what rusage says is that of the process above, if it is larger
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
pickle.dump((found, loaded, peak), sys.stdout.buffer)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory as Linux tells it")
@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_with_keys_at_hand_a_fresh_process_is_light(either, tmp_path, passphrase):
    """Importing what is heavy fails in it. Memory is at most 70 MB; scrypt takes 32 of its own."""
    model, folder = either
    client = Client(folder, key_dir=tmp_path / "keys", passphrase=passphrase)
    if model.program_.lookups:  # the keys of others are made there, too
        client.keygen()
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED.rpartition("from skfhe")[0] + FRESH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(tmp_path),
    ) as process:
        pickle.dump((folder, tmp_path / "keys", ROWS, passphrase), process.stdin)
        process.stdin.flush()
        batch = Batch.from_bytes(pickle.load(process.stdout))
        result = Server(folder / "server.zip").run(batch, client.evaluation_keys())
        pickle.dump(result.to_bytes(), process.stdin)
        process.stdin.flush()
        found, loaded, peak = pickle.load(process.stdout)
        process.wait(timeout=60)
    np.testing.assert_array_equal(found, model.predict_proba(ROWS))
    assert loaded == []
    assert peak < (70 if passphrase is None else 70 + 32) * 1024


def test_the_room_is_light_to_import():
    """Neither the engine nor a server's half comes with the client."""
    code = "import sys; from skfhe.deployment import Client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "sklearn", "scipy", "pandas", "concrete", "mlir", "httpx", "fastapi", "tqdm"}
    assert not heavy & set(loaded.split())


def other_specs(folder, change):
    """Return ``client.zip`` whose circuit has other parameters, as whoever wants to read rows makes it."""
    model = ClientModel.read(folder)
    described = [json.loads(part.parameters) for part in model.specs.parts]
    for each in described:
        change(each)
    parts = [
        replace(part, parameters=json.dumps(each).encode())
        for part, each in zip(model.specs.parts, described, strict=True)
    ]
    return replace(model, specs=replace(model.specs, parts=tuple(parts)))


def quiet(description):
    for function in description["circuits"]:
        for gate in function["inputs"]:
            gate["typeInfo"]["lweCiphertext"]["encryption"]["variance"] /= 2


def short(description):
    for key in description["keyset"]["lweSecretKeys"]:
        key["params"]["lweDimension"] = 10


def quiet_keys(kind):
    def change(description):
        for key in description["keyset"][kind]:
            key["params"]["variance"] *= 0.9

    return change


def keys_with(kind, **values):
    def change(description):
        for key in description["keyset"][kind]:
            key["params"].update(values)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (quiet, "ciphertexts of dimension .* less noise"),
        (short, "less noise"),
        (quiet_keys("lweBootstrapKeys"), "bootstrap keys of dimension .* less noise"),
        (quiet_keys("lweKeyswitchKeys"), "key switch keys of dimension .* less noise"),
        # Of noise as wide as this the engine keeps nothing: evaluation keys would tell the secret ones.
        (keys_with("lweKeyswitchKeys", variance=1e300), "more than can be drawn"),
        (keys_with("lweBootstrapKeys", variance=float("inf")), "more than can be drawn"),
        (keys_with("lweBootstrapKeys", variance=float("nan")), "more than can be drawn"),
        (keys_with("lweKeyswitchKeys", variance=10**400), "more than can be drawn"),
        (keys_with("lweKeyswitchKeys", inputLweDimension=1 << 15), "do not fit each other"),
        (keys_with("lweBootstrapKeys", levelCount=40, baseLog=40), "do not fit each other"),
        (lambda description: description.pop("keyset"), "cannot be read"),
        (lambda description: description["keyset"].update(lweSecretKeys=3), "cannot be read"),
    ],
)
def test_a_model_whose_ciphertexts_others_could_read_is_refused(tree, change, message):
    """Its client.zip may come from whoever would like to: and keys are shared with other models."""
    check_security(ClientModel.read(tree[1]).specs)
    with pytest.raises(ValueError, match=message):
        check_security(other_specs(tree[1], change).specs)


def test_a_client_checks_its_model(tree, monkeypatch):
    insecure = other_specs(tree[1], quiet)
    monkeypatch.setattr(ClientModel, "read", staticmethod(lambda source: insecure))
    with pytest.raises(ValueError, match="circuit is not secure"):
        Client(tree[1])


def test_sessions_of_the_circuit_room_take_a_clients_keys(linear, tmp_path):
    """What is encrypted by one is decrypted by the other: keys are one thing, wherever they are kept."""
    model, folder = linear
    client = Client(folder, key_dir=tmp_path)
    keys = client._keys.session().secret_keys
    session = ClientSession(model.fhe_circuit_.compiled.specs, keys)
    result = model.fhe_circuit_.compiled.run(client.encrypt(ROWS), session.evaluation_keys)
    outputs = session.decrypt(result)
    np.testing.assert_array_equal(outputs[0], model.fhe_circuit_.execute(*model.encoder_.encode(ROWS))[0])


@pytest.mark.parametrize("model", [None, 123, bytearray(b"PK"), ["client.zip"]])
def test_what_is_no_model_is_named(model):
    with pytest.raises(TypeError, match=f"got {type(model).__name__}"):
        Client(model)


def test_a_scheme_is_known_in_any_case():
    with pytest.raises(ValueError, match="name or password"):
        Client("HTTP://user:password@localhost/iris")


def test_a_lifetime_is_a_timedelta(linear):
    with pytest.raises(TypeError, match=r"timedelta\(days=30\)"):
        Client(linear[1], key_lifetime=30)
