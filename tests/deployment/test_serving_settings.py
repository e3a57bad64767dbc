"""What is set, who may send requests, and which models there are."""

import asyncio
import hashlib
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc
from typer.testing import CliRunner

from skfhe._cli import app
from skfhe.circuit import Circuit
from skfhe.deployment import save
from skfhe.deployment._serving._auth import read_tokens
from skfhe.deployment._serving._errors import RequestError
from skfhe.deployment._serving._exceptions import QuotaExceededError
from skfhe.deployment._serving._repository import read_models
from skfhe.deployment._serving._service import Service
from skfhe.deployment._serving._settings import ServerSettings, read_size

HERE = (Path("here"),)


def test_the_environment_sets_what_the_call_does_not():
    environment = {
        "SKFHE_FOLDERS": os.pathsep.join(["a", "b"]),
        "SKFHE_PORT": "9",
        "SKFHE_KEY_QUOTA": "1.5 GB",
        "SKFHE_WORKER_MEMORY": "none",
        "SKFHE_GRACE": "2.5",
        "SKFHE_HOST": "",
        "OTHER": "x",
    }
    settings = ServerSettings.from_environment(environment, port=10, workers="2", grace=None)
    assert settings == ServerSettings(
        **{
            "folders": (Path("a"), Path("b")),
            "port": 10,
            "workers": 2,
            "key_quota": 1_500_000_000,
            "grace": 2.5,
        }
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folders": ()}, "no model to serve"),
        ({"port": -1}, "port must be 0 or more, got -1"),
        ({"workers": 0}, "workers must be more than 0, got 0"),
        ({"workers": "many"}, "workers cannot be 'many'"),
        ({"key_quota": "20 apples"}, "key_quota cannot be '20 apples'"),
        ({"run_timeout": "nan"}, "run_timeout must be more than 0"),
        ({"tls_cert": "c"}, "tls_cert and tls_key go together"),
        ({"tls_client_ca": "c"}, "needs tls_cert and tls_key"),
        ({"log_level": "loud"}, "log_level must be debug"),
        ({"colour": "red"}, "no setting 'colour'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        ServerSettings.from_environment({}, **{"folders": HERE, **given})


@pytest.mark.parametrize("name", ["TOKENS", "TOKEN_FILE", "TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA"])
def test_an_empty_variable_opens_no_server(name):
    """As one is that takes its value from a secret which is not there."""
    with pytest.raises(ValueError, match=f"SKFHE_{name} is empty"):
        ServerSettings.from_environment({f"SKFHE_{name}": ""}, folders=HERE)


@pytest.mark.parametrize("text", ["", " , ", "# none"])
def test_a_list_of_no_tokens_opens_no_server(text):
    with pytest.raises(ValueError, match="tokens has no tokens, so that nobody"):
        read_tokens(ServerSettings(folders=HERE, tokens=text))


def test_sizes_have_units():
    assert [read_size(text) for text in ("5", "2kb", "1.5 MB", "3GB", "1TB")] == [
        *(5, 2000, 1_500_000, 3_000_000_000, 10**12)
    ]


def test_every_setting_says_what_it_is():
    rows = ServerSettings.describe()
    assert len(rows) >= 30
    assert all(name and meaning for name, _, meaning in rows)
    documented = [each.name for each in ClassDoc(ServerSettings)["Parameters"]]
    assert documented == [name for name, _, _ in rows] == list(inspect.signature(ServerSettings).parameters)
    assert "secret" not in repr(ServerSettings(folders=HERE, tokens="a secret"))


def tokens(tmp_path, text, **settings):
    (tmp_path / "tokens").write_text(text)
    return read_tokens(ServerSettings(folders=HERE, token_file=tmp_path / "tokens", **settings))


def test_tokens_are_read_from_a_file_and_the_environment(tmp_path):
    digest = hashlib.sha256(b"the token of b, hashed").hexdigest()
    text = f"# who\n\na token-of-a-0123456789\nb sha256:{digest} 2 GB\n"
    found = tokens(tmp_path, text, tokens="c token-of-c-0123456789 , d token-of-d-0123456789 5")
    assert len(found) == 4
    for token, name, quota in (
        ("token-of-a-0123456789", "a", None),
        ("the token of b, hashed", "b", 2 * 10**9),
        ("token-of-d-0123456789", "d", 5),
    ):
        owner = found.owner(f"Bearer {token}")
        assert (owner.name, owner.key_bytes) == (name, quota)
    assert found.owner("Bearer token-of-x-0123456789") is None
    assert found.owner(f"Bearer sha256:{digest}") is None
    assert "token-of" not in repr(found)
    assert not any("token-of" in repr(value) for value in vars(found).values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no tokens, so that nobody"),
        ("alone\n", "line 1: expected NAME TOKEN"),
        ("a short\n", "line 1: a token has at least 16"),
        ("a sha256:123\n", "64 hexadecimal digits"),
        ("a token-of-a-0123456789 much\n", "line 1: expected bytes"),
        ("a token-of-a-0123456789\na token-of-b-0123456789", "one name"),
        ("a token-of-a-0123456789\nb token-of-a-0123456789", "one token"),
    ],
)
def test_lines_that_are_no_tokens_are_named_by_number(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as raised:
        tokens(tmp_path, text)
    assert "0123456789" not in str(raised.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder that save wrote, of a model without lookups."""
    from sklearn.datasets import load_iris

    from skfhe.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
    assert isinstance(model.compile(), Circuit)
    folder = tmp_path_factory.mktemp("models") / "iris"
    save(model, folder)
    return folder


def test_a_folder_is_a_model_and_numbered_folders_are_versions(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "many" / "2")
    shutil.copytree(saved, tmp_path / "many" / "10")
    (tmp_path / "many" / "notes").mkdir()
    models = read_models([saved, tmp_path / "many"])
    assert models.names == ["iris", "many"]
    assert models.versions("many") == ["2", "10"]
    assert models.get("many").folder == tmp_path / "many" / "10"
    assert models.get("iris").version == "1"
    model = models.get("iris", "1")
    assert model.digest == hashlib.sha256((saved / "client.zip").read_bytes()).hexdigest()
    assert model.client_file == (saved / "client.zip").read_bytes()
    with pytest.raises(RequestError, match="there are 2, 10"):
        models.get("many", "3")


def test_a_link_is_a_model_of_its_own_name(saved, tmp_path):
    """So a name stays while what it stands for is replaced; a path with dots has the folder's name."""
    (tmp_path / "flowers").symlink_to(saved)
    (model,) = read_models([tmp_path / "flowers"])
    assert (model.name, model.folder) == ("flowers", saved)
    assert read_models([saved / ".." / saved.name / "."]).names == ["iris"]


@pytest.mark.parametrize("given", [None, "bank token-of-bank-0123456789"])
def test_the_number_of_keys_of_one_owner_is_limited_where_there_are_owners(saved, tmp_path, given):
    """Without tokens all clients are one, and some would keep out all others."""
    keys = str(tmp_path / "keys")
    service = Service.of(ServerSettings(folders=(saved,), keys=keys, keys_per_owner=1, tokens=given))

    async def once(data):
        yield data

    async def put(digit):
        return await service.keys.put(digit * 64, once(b"keys"), expected_bytes=4, owner="")

    assert asyncio.run(put("a"))
    if given is None:
        assert asyncio.run(put("b"))
    else:
        with pytest.raises(QuotaExceededError, match="one owner may have 1"):
            asyncio.run(put("b"))


def test_folders_without_a_model_are_told_what_they_lack(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="not a folder"):
        read_models([tmp_path / "nowhere"])
    with pytest.raises(FileNotFoundError, match=r"no server\.zip"):
        read_models([tmp_path])
    with pytest.raises(FileNotFoundError, match="has folders that have one: iris"):
        read_models([saved.parent])
    shutil.copytree(saved, tmp_path / "half")
    (tmp_path / "half" / "client.zip").unlink()
    with pytest.raises(FileNotFoundError, match=r"no client\.zip"):
        read_models([tmp_path / "half"])
    (tmp_path / "half" / "client.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match="client"):
        read_models([tmp_path / "half"])
    shutil.copytree(saved, tmp_path / "again" / "iris")
    with pytest.raises(ValueError, match="both model 'iris'"):
        read_models([saved, tmp_path / "again" / "iris"])


def test_the_command_says_what_is_wrong(tmp_path):
    for arguments, message in (
        ([], "no model to serve"),
        ([str(tmp_path)], "no server.zip"),
        ([str(tmp_path), "--set", "max-rows=none"], "max_rows cannot be 'none'"),
        ([str(tmp_path), "--set", "size=3"], "no setting 'size'"),
    ):
        result = CliRunner().invoke(app, ["serve", *arguments], env={"SKFHE_FOLDERS": None})
        assert result.exit_code == 1
        assert message in result.output
        assert "Traceback" not in result.output


def test_the_command_says_what_is_not_installed():
    code = "import sys; sys.modules['uvicorn'] = None; from skfhe._cli import app; app(['serve', 'model'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == 'skfhe: run_server needs uvicorn, not installed: pip install "skfhe[server]"\n'


def test_the_command_lists_its_settings():
    result = CliRunner().invoke(app, ["serve", "--settings"])
    assert result.exit_code == 0
    for name, _, _ in ServerSettings.describe():
        assert name in result.output
