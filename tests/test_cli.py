from typer.testing import CliRunner

import skfhe
from skfhe._cli import app


def test_demo_prints_its_table():
    result = CliRunner().invoke(app, ["demo", "--rows", "1"])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if "encrypted = clear" in line]
    assert len(lines) == 1
    assert "100.0%" in lines[0]
    for word in ("simulated", "seconds a row", "lookups a row", "evaluation keys", "MB"):
        assert word in result.output


def test_the_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == skfhe.__version__
