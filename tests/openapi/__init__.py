"""The OpenAPI document, looked at with tools that are not ours."""
