"""Settings: environment or .env, prefix ANSWERABLE_, each with a working default.

Precedence: environment, then the file .env in the working directory, then a file of the variable's name (in small
letters) in /run/secrets, where containers find theirs, then the default here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rag.types import InvalidInput

SECRETS = Path("/run/secrets")


class Settings(BaseSettings):
    """Everything an operator may set; constants that nobody needs to change stand next to their use."""

    model_config = SettingsConfigDict(env_prefix="ANSWERABLE_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(Path("~/.answerable"), description="data folder: database, index, models")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in HOME")
    index_url: str = Field(
        "", description="folder of FAISS files, Milvus's http:// address, or a .db file; empty: HOME/index"
    )
    index_family: Literal["auto", "exact", "ivf-sq8", "hnsw-sq8", "ivf-pq", "ivf-rabitq"] = Field(
        "auto", description="how vectors are indexed; auto: by size and memory"
    )
    index_memory_mb: int = Field(0, ge=0, description="memory one collection's index may take; 0: a quarter of all")
    generator: str = Field(
        "answerable-135m", description="a folder in HOME/models, or openai+http://[KEY@]HOST:PORT/v1[#MODEL]"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where models and index run")
    base_weights: str = Field("", description="folder or hub name to take base weights from; empty: package index")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads a model may use; 0: all cores")
    top_k: int = Field(3, ge=1, le=50, description="passages the generator reads")
    passage_tokens: int = Field(600, ge=64, le=6000, description="token budget of the passages in a prompt")
    max_new_tokens: int = Field(96, ge=1, le=1024, description="longest answer, in tokens")
    max_question_chars: int = Field(4000, ge=1, le=100_000, description="longest question, in characters")
    min_support: float = Field(0.2, ge=0, le=1, description="least support of a short answer; below, it is refused")
    max_file_mb: float = Field(100.0, gt=0, description="largest file that ingest reads")
    file_seconds: float = Field(120.0, gt=0, description="longest time that reading one file may take")
    file_memory_mb: int = Field(1500, ge=500, description="memory that reading one file may take")
    chunk_tokens: int = Field(200, ge=32, le=240, description="passage length that the chunker aims at")
    host: str = Field("127.0.0.1", description="address that serve listens on")
    port: int = Field(8080, ge=1, le=65535, description="port that serve listens on")
    max_waiting: int = Field(32, ge=1, description="questions that may wait before serve answers 429")
    at_once: int = Field(8, ge=1, le=64, description="questions that serve answers side by side")
    timeout_s: float = Field(120.0, gt=0, le=3600, description="longest time of a request to serve, waiting included")
    rate_per_minute: int = Field(600, ge=1, description="requests a minute that one access key may make")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="least severe log line")

    @field_validator("home")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'answerable.db'}"

    @property
    def index(self) -> str:
        """Where the vectors are: the address of Milvus, or a path."""
        if "://" in self.index_url:
            return self.index_url
        return str(Path(self.index_url).expanduser() if self.index_url else self.home / "index")

    @property
    def uploads_folder(self) -> Path:
        """The folder that holds uploaded files, one folder a collection."""
        return self.home / "uploads"

    @property
    def runs_folder(self) -> Path:
        """The folder that eval writes its runs into."""
        return self.home / "runs"

    @property
    def models_folder(self) -> Path:
        """The folder that holds converted base weights."""
        return self.home / "models"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with ``overrides`` (field names) on top.

    Raises InvalidInput naming the variable, its value and what it must be.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(_secrets_dir=SECRETS if SECRETS.is_dir() else None, **given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "ANSWERABLE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise InvalidInput(f"{name}={first['input']!r}: {first['msg']}") from error
