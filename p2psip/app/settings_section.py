"""What every section of the settings has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of `p2psip.toml`: names that do not exist are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
