"""Three palettes. Colour never says anything alone: ▲ ▼ + − and words go with it. Knows no screen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Rich styles by what they stand for."""

    name: str
    up: str
    down: str
    warn: str = "bold yellow"
    title: str = "bold"
    dim: str = "dim"
    frame: str = "grey50"
    focus: str = "bold cyan"
    chosen: str = "reverse"
    paper: str = "bold black on bright_white"
    simulated: str = "bold black on yellow"
    tab: str = "bold reverse"
    curve: str = "cyan"
    other: str = "grey62"

    def trend_style(self, value: float | bool | None) -> str:  # noqa: FBT001  # a rise, however it is said
        """The style of a rise (above zero, or True), a fall, or neither."""
        if value is None or (not isinstance(value, bool) and value == 0):
            return ""
        return self.up if value > 0 else self.down


PALETTES = {
    one.name: one
    for one in (
        Palette(name="western", up="green", down="red"),
        Palette(name="east-asian", up="red", down="green"),
        Palette(name="colour-blind", up="bright_blue", down="dark_orange"),
    )
}
