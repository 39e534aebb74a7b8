"""Steps of single cases that no other case needs: `python NAME` calls NAME(run)."""
