"""Which dashboards there are, and the file of each."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.dashboards import canary, engines, serving

DIRECTORY = Path(__file__).parents[1] / "grafana" / "dashboards"


def rendered() -> dict[str, str]:
    """Return each file's name and text."""
    return {
        f"{built.uid}.json": json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for built in (serving.dashboard(), engines.dashboard(), canary.dashboard())
    }
