"""No queue at all: one event loop fetches the URLs of stdin over N connections at most. python -m benchmarks.peers.asyncio_client N"""

from __future__ import annotations

import asyncio
import sys

import aiohttp


async def _fetch_all(urls: list[str], slots: int) -> int:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=slots)) as client:

        async def fetch(url: str) -> int:
            async with client.get(url) as answer:
                answer.raise_for_status()
                return len(await answer.read())

        return sum(size > 0 for size in await asyncio.gather(*map(fetch, urls)))


def main() -> None:
    """Say `ready`; for each line of URLs fetch them and say how many came."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{asyncio.run(_fetch_all(line.split(), int(sys.argv[1])))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
