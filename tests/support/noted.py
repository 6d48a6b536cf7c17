"""A run's progress of which the notes alone are kept."""

from gateway.contracts.evaluations import Trial


class Noted:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def on_trial(self, trial: Trial, total: int) -> None:
        del trial, total

    def on_case(self, standings: object) -> None:
        del standings
