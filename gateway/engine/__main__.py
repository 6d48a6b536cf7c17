"""`python -m gateway.engine --fd N`: one engine process, spoken to over the socket that it inherits as descriptor N."""

import argparse
import gc
import os
import signal
import socket
import sys
import threading
import traceback

import msgspec

from gateway.contracts.variants import EngineSpec
from gateway.engine.handoff import Inbox, Loaded, LoadEnded, Outbox
from gateway.engine.loading import EngineSettings, LoadError, identify, load
from gateway.engine.loop import Loop
from gateway.engine.parent import end_with_parent
from gateway.engine.text import TextThread

LAST_WORDS_TIMEOUT_S = 5.0
BUG_STATUS = 70


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway.engine")
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the socket to the parent")
    fd: int = parser.parse_args().fd
    end_with_parent()
    # Ctrl-C and a supervisor's SIGTERM may reach the whole group; the parent decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.excepthook = _end_process
    spec = msgspec.json.decode(os.environ["GATEWAY_ENGINE_SPEC"], type=EngineSpec)
    settings = msgspec.json.decode(os.environ.get("GATEWAY_ENGINE_SETTINGS", "{}"), type=EngineSettings)

    inbox, outbox = Inbox(), Outbox()
    # The parent's death must end the process even while the model loads, so this thread does not return then.
    text = TextThread(socket.socket(fileno=fd), inbox, outbox, hang_up=lambda: os._exit(0))
    thread = threading.Thread(target=text.run, name="text", daemon=True)
    thread.start()
    try:
        identity = identify(spec)
        model = load(spec, settings)
    except LoadError as error:
        outbox.put(LoadEnded(str(error)))
        thread.join(LAST_WORDS_TIMEOUT_S)
        return 1
    loop = Loop(model.make_runner, inbox, outbox, scorer=model.scorer)
    # The libraries and the model are there to stay: to look through them again and again holds every stream up.
    gc.collect()
    gc.freeze()
    outbox.put(Loaded(model.tokenizer, model.ready, identity))
    loop.run()
    return 0


def _end_process(failure: threading.ExceptHookArgs) -> None:
    """End the process with any of its threads: half an engine would look alive and answer nobody.

    The error's message is left out, because these threads handle prompts and a message may quote one.
    """
    thread = failure.thread.name if failure.thread else "last"
    sys.stderr.write("".join(traceback.format_tb(failure.exc_traceback)))
    sys.stderr.write(f"{failure.exc_type.__name__} in the {thread} thread\n")
    sys.stderr.flush()
    os._exit(BUG_STATUS)


if __name__ == "__main__":
    sys.exit(main())
