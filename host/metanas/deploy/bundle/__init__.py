"""A bundle: one file with a model and all that somebody needs who gets nothing else."""

from metanas.deploy.bundle.archive import default_version, write_bundle
from metanas.deploy.bundle.card import NOT_STATED, BundleCard
from metanas.deploy.bundle.licences import DATA_LICENCES

__all__ = ["DATA_LICENCES", "NOT_STATED", "BundleCard", "default_version", "write_bundle"]
