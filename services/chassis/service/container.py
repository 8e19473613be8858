"""A leaner worker in the container: what nameko logs and times around each call, our entrypoints do themselves."""

from __future__ import annotations

import sys
import time
from typing import Any

from nameko.containers import ServiceContainer

from services.chassis import metrics


class Container(ServiceContainer):
    """Runs a service; named in the configuration as `SERVICE_CONTAINER_CLS`."""

    def _run_worker(self, worker_ctx: Any, handle_result: Any) -> None:
        """Inject, set up, call, hand the result on and tear down, in nameko's order and with nameko's hooks."""
        started = time.perf_counter()
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
        seconds, error = time.perf_counter() - started, exc_info[1] if exc_info is not None else None
        metrics.note_served(self.service_name, worker_ctx.entrypoint.method_name, seconds, error)
        # The traceback holds the frames that hold it.
        del exc_info, error
        self._worker_teardown(worker_ctx)
