"""What every section of the settings has in common."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


class Section(BaseModel):
    """A section of `p2psip.toml`: names that do not exist are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _of_home(path: Path, info: ValidationInfo) -> Path:
    home: Path | None = (info.context or {}).get("home")
    return path if home is None else home / path


FileOfHome = Annotated[Path, AfterValidator(_of_home)]
"""A file of the settings: relative to the folder of the node, wherever it was started."""
