from typing import Any

import pytest

from tests.support.random_llama import random_llama


@pytest.fixture(scope="session")
def llama() -> Any:
    """A small llama with random weights, in memory; nobody changes it."""
    return random_llama()
