"""The sandbox as a process, and getting ready to serve: what the supervisor of `app` starts by command."""

from __future__ import annotations

import socket

from hutong import app, config, sandbox


def run_sandbox(speed: float, fd: int | None) -> None:
    """Simulate channels until told to stop.

    Args:
        speed: Divides the waits between notification tries.
        fd: A listening socket inherited from `serve`; without one the configured port is taken.
    """
    settings = config.load()
    if fd is None:
        app.hold_sandbox(settings)
        listener = app.listen(settings.sandbox_host, settings.sandbox_port, "HUTONG_SANDBOX_PORT")
        app.prepare_in_process(settings, sandbox_port=listener.getsockname()[1])
        print(f"The sandbox is at http://{settings.sandbox_host}:{listener.getsockname()[1]}", flush=True)
    else:
        listener = socket.socket(fileno=fd)
        app.await_release()

    async def serve() -> None:
        stop = app.stop_event(supervised=fd is not None)
        running = sandbox.SandboxSettings(settings.home / "sandbox", speed=speed)
        async with sandbox.serve(running, sock=listener):
            await stop.wait()

    app.run(serve())


def run_prepare(sandbox_url: str | None) -> None:
    """Migrate and make what must be there before the first payment.

    Args:
        sandbox_url: Have channel accounts that point at the sandbox there.
    """
    settings = config.load()
    with app.using_database(settings) as url:
        app.migrate(settings, url)
        accounts = None if sandbox_url is None else sandbox.accounts(settings.home / "sandbox", sandbox_url)
        app.run(app.prepare(settings, sandbox_accounts=accounts))
