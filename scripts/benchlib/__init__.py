"""Parts of scripts/bench and scripts/soak."""
