"""Firmware attempts from the campaign to the version, with a device that is made of aiocoap."""

from tests.devices.lwm2m.yard import IMAGE, Yard


async def test_an_image_is_pushed_and_installed(each_yard: Yard) -> None:
    """A registered device is pushed the image, told to update once, and succeeds when it is back."""
    yard = each_yard
    gadget = await yard.gadget(1)
    async with gadget.on():
        assert (await gadget.register()).code.is_successful()
        campaign = await yard.campaign(1)
        await yard.comes_to(1, "finished")
        assert gadget.image == IMAGE
        assert gadget.executes == 1
        assert await yard.version(1) == "02"
        assert await yard.place(1, campaign) == ("succeeded", "success")
