"""The three palettes. Colour never says anything alone: ▲ ▼ + − and words go with it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Rich styles by what they stand for; the app registers a Textual theme of the same name for each."""

    name: str
    up: str
    down: str
    warn: str = "bold #e5b567"
    paper: str = "bold #14171c on #e8eaed"
    simulated: str = "bold #14171c on #e5b567"
    tab: str = "bold #14171c on #6cc7d9"
    curve: str = "#6cc7d9"
    other: str = "#8b949e"

    def trend_style(self, value: float | bool | None) -> str:  # noqa: FBT001  # a rise, however it is stated
        """Return the style of a rise (above zero, or True), a fall, or neither."""
        if value is None or (not isinstance(value, bool) and value == 0):
            return ""
        return self.up if value > 0 else self.down


PALETTES = {
    palette.name: palette
    for palette in (
        Palette(name="western", up="#7ec16e", down="#ef6b73"),
        Palette(name="east-asian", up="#ef6b73", down="#7ec16e"),
        Palette(name="colour-blind", up="#5aa9ff", down="#f2994a"),
    )
}
