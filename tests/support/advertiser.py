"""A program that runs an `Advertisement`: `python advertiser.py ID NAME PORT`, ended by stdin."""

import asyncio
import sys

from metanas_agent.advertising import Advertisement
from metanas_agent.announcement import Announcement


async def main():
    identifier, name, port = sys.argv[1:]

    async def announce():
        fingerprint, runtimes = "ab" * 32, ("native", "onnx")
        return Announcement(identifier, name, fingerprint, (2, 0), "0.1.0", "armv6l", runtimes)

    async with Advertisement(announce, int(port), look_again_s=0.2):
        print("running", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
