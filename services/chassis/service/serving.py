"""Entrypoints from a table: a service class has providers, and names the declared functions that it serves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from nameko.extensions import register_entrypoint

from services.chassis.context import Call
from services.chassis.service.declare import Declaration, declared
from services.chassis.service.entrypoints import Rpc

C = TypeVar("C", bound=type)


def serves(*functions: Callable[..., Any]) -> Callable[[C], C]:
    """Give a service class an RPC for each declared function, under the function's name.

    A function gets what its parameters name: `call`, `request`, and for the rest the class's attributes of that name.

    Args:
        functions: each with `@command` or `@query`.

    Raises:
        TypeError: one is not declared, is there twice, or needs what the class has not.
    """

    def complete(service: C) -> C:
        for function in functions:
            declaration = declared(function)
            if declaration is None:
                raise TypeError(f"{service.__name__} serves {function.__name__}, which is not declared.")
            if declaration.name in vars(service):
                raise TypeError(f"{service.__name__} has two things named {declaration.name}.")
            setattr(service, declaration.name, _method(service, function, declaration))
        return service

    return complete


def procedures_of(service: type) -> dict[str, tuple[Rpc, Declaration | None]]:
    """Return name -> entrypoint and declaration of everything that a service class answers."""
    return {
        name: (entrypoint, declared(method))
        for name, method in inspect.getmembers(service, inspect.isfunction)
        for entrypoint in getattr(method, "nameko_entrypoints", ())
        if isinstance(entrypoint, Rpc)
    }


def declarations_of(service: type) -> dict[str, Declaration]:
    """Return name -> declaration of everything that a service class answers.

    Raises:
        TypeError: something is not declared.
    """
    found = {name: declaration for name, (_, declaration) in procedures_of(service).items()}
    if missing := sorted(name for name, declaration in found.items() if declaration is None):
        raise TypeError(f"{service.__name__} answers {', '.join(missing)}, which is not declared.")
    return {name: declaration for name, declaration in found.items() if declaration is not None}


def _method(service: type, function: Callable[..., Any], declaration: Declaration) -> Callable[..., Any]:
    takes = inspect.signature(function).parameters
    needed = [name for name in takes if name not in ("call", "request")]
    if missing := [name for name in needed if not hasattr(service, name)]:
        raise TypeError(f"{declaration.name} needs {', '.join(missing)}, which {service.__name__} has not.")

    def method(self: Any, call: Call, request: Mapping[str, Any]) -> Any:
        # What is public may need neither.
        given = {"call": call, "request": request}
        return function(**{name: given[name] if name in given else getattr(self, name) for name in takes})

    method.__name__ = declaration.name
    method.__qualname__ = f"{service.__name__}.{declaration.name}"
    method.__doc__ = function.__doc__
    method.declaration = declaration  # type: ignore[attr-defined]
    register_entrypoint(
        method,
        Rpc(
            declaration.request,
            public=declaration.public,
            callers=declaration.callers,
            vouched_by=declaration.vouched_by,
        ),
    )
    return method
