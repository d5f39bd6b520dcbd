"""A program that announces whatever it is told to: `python announcer.py JSON`, ended by stdin.

{"address": OURS, "services": [{"name": ..., "port": ..., "txt": {"key": "latin-1 text"}}]}
"""

import asyncio
import json
import sys

from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE = "_metanas._tcp.local."


async def main():
    asked = json.loads(sys.argv[1])
    address = asked["address"]
    async with AsyncZeroconf(interfaces=[address], ip_version=IPVersion.V4Only) as zeroconf:
        for service in asked["services"]:
            info = AsyncServiceInfo(
                SERVICE,
                f"{service['name']}.{SERVICE}",
                server=service.get("server", "stranger.local."),
                port=service["port"],
                parsed_addresses=service.get("addresses", [address]),
                properties={k.encode(): v.encode("latin-1") for k, v in service["txt"].items()},
            )
            await zeroconf.async_register_service(info, cooperating_responders=True, strict=False)
        print("running", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
