"""Draws what a home camera might see: a plain room with the camera's name and the time in it, as a JPEG. Pure."""

import functools
import io
from datetime import datetime

from PIL import Image, ImageDraw, ImageFont

SIZE = (320, 240)
_WALLS = {"living-room": "#d8cbb4", "hall": "#bccbd0", "garden": "#a9c7e0"}
_FLOORS = {"living-room": "#8a6a4a", "hall": "#7d7d78", "garden": "#6f9256"}
_NIGHT = 0.55  # how dark a picture of the night is
_EVENING, _MORNING = 19, 7


def draw(camera: str, taken: datetime) -> bytes:
    """Return a JPEG of 320 by 240 pixels; the same arguments always give the same bytes."""
    picture = _room(camera, night=not _MORNING <= taken.hour < _EVENING).copy()
    canvas = ImageDraw.Draw(picture)
    # Somebody walks by: where, the seconds say.
    left = 20 + (taken.minute * 60 + taken.second) % 260
    canvas.ellipse((left + 6, 108, left + 26, 128), fill="#e0b090")
    canvas.rounded_rectangle((left, 128, left + 32, 200), radius=10, fill="#34495e")
    canvas.rectangle((0, 216, *SIZE), fill="black")
    canvas.text((6, 219), f"{taken:%Y-%m-%d %H:%M:%S} UTC", font=_font(), fill="white")
    canvas.text((SIZE[0] - 6, 219), camera, font=_font(), fill="#ffd54f", anchor="ra")
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=70)
    return file.getvalue()


@functools.cache
def _room(camera: str, *, night: bool) -> Image.Image:
    picture = Image.new("RGB", SIZE, _WALLS.get(camera, "#cccccc"))
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((0, 160, *SIZE), fill=_FLOORS.get(camera, "#888888"))
    canvas.rectangle((200, 30, 290, 110), fill="#eef6fb", outline="#5d4a36", width=4)
    canvas.line((245, 30, 245, 110), fill="#5d4a36", width=3)
    canvas.rounded_rectangle((30, 130, 150, 185), radius=8, fill="#9b5b4f")
    canvas.rectangle((165, 90, 169, 185), fill="#444444")
    canvas.polygon([(150, 90), (184, 90), (176, 65), (158, 65)], fill="#ffe9a8")
    return Image.blend(picture, Image.new("RGB", SIZE, "#0b1026"), _NIGHT) if night else picture


@functools.cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=14)
