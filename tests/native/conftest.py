"""Zig compiles its run-time library once for each target; so it is kept between test runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def zig_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.config.cache is not None:
            folder = str(request.config.cache.mkdir("zig"))
            patch.setenv("ZIG_GLOBAL_CACHE_DIR", folder)
            patch.setenv("ZIG_LOCAL_CACHE_DIR", folder)
        yield
