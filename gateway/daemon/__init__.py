"""`gateway service`: have the system start the gateway, keep it running, and start it again when it crashes.

`plan.py` says what is to run and refuses what a service could not have; `launchd.py` and `systemd.py` write it down in
their system's form and speak to its program; `command.py` is the command line.
"""
