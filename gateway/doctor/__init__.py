"""`gateway doctor`: look at the machine, the model and the state directory, and say what to do.

The path of an examination: `command.py` takes the settings, `examination.py` asks for every finding in order, `show.py`
prints them. Looking changes nothing and loads no model. `--deep` goes on with `deep.py`, whose checks load engines.
"""
