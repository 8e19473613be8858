"""A leaner worker in the container: what nameko logs and times around each call, our entrypoints do themselves."""

from __future__ import annotations

import sys
from typing import Any

from nameko.containers import ServiceContainer


class Container(ServiceContainer):
    """Runs a service; named in the configuration as `SERVICE_CONTAINER_CLS`."""

    def _run_worker(self, worker_ctx: Any, handle_result: Any) -> None:
        """Inject, set up, call, hand the result on and tear down, in nameko's order and with nameko's hooks."""
        self._inject_dependencies(worker_ctx)
        self._worker_setup(worker_ctx)
        result = exc_info = None
        try:
            method = getattr(worker_ctx.service, worker_ctx.entrypoint.method_name)
            result = method(*worker_ctx.args, **worker_ctx.kwargs)
        except Exception:
            exc_info = sys.exc_info()
        if handle_result is not None:
            result, exc_info = handle_result(worker_ctx, result, exc_info)
        for provider in self.dependencies:
            provider.worker_result(worker_ctx, result, exc_info)
        # The traceback holds the frames that hold it.
        del exc_info
        self._worker_teardown(worker_ctx)
