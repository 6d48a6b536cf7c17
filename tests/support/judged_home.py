"""The working directory of a gateway that canary asks: scripted models, the suite `mini`, and a gate that wants it."""

from collections.abc import Mapping
from pathlib import Path

from tests.support.mini_suite import write_mini_suite
from tests.support.scripted_model import write_scripted_model

_DEPLOYMENT = """
[[deployments]]
model = "tutor"
source = "./incumbent"
[deployments.gate]
suite = "mini"
"""


def write_judged_home(home: Path, models: Mapping[str, str], *, settings: str = "") -> Path:
    """Write the models by the names of their directories, `incumbent` among them; `settings` open `gateway.toml`."""
    for name, script in models.items():
        write_scripted_model(home / name, script)
    write_mini_suite(home / "suites")
    (home / "gateway.toml").write_text(settings + _DEPLOYMENT)
    return home
