"""From a finished sweep to a registered model: refit, sealed test pages, registry."""
