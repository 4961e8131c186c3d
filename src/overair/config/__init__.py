"""Settings: read once into one frozen value, from defaults, a file, the environment and flags."""

from overair.config.limits import Limits
from overair.config.load import ENVIRONMENT_PREFIX, FILE_NAME, ConfigError, load_settings
from overair.config.lwm2m import Lwm2m, Lwm2mModel
from overair.config.omadm import Omadm, OmadmModel, Smpp
from overair.config.settings import Settings
from overair.config.slots import Slots

__all__ = [
    "ENVIRONMENT_PREFIX",
    "FILE_NAME",
    "ConfigError",
    "Limits",
    "Lwm2m",
    "Lwm2mModel",
    "Omadm",
    "OmadmModel",
    "Settings",
    "Slots",
    "Smpp",
    "load_settings",
]
